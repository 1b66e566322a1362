package relay

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

func blobs() []blob {
	return []blob{
		{kind: kindEcho, since: time.Unix(1, 2), flows: []flowBlob{{moved: 3}}},
		{kind: kindRelay, since: time.Unix(1700000000, 0), idle: time.Minute, flows: []flowBlob{
			{eof: true, finished: true, moved: 1 << 40},
			{eof: true, held: 65536, stash: []byte("stuck")},
		}},
	}
}

func TestBlobRoundTrip(t *testing.T) {
	for _, b := range blobs() {
		enc := b.append(nil)
		got, err := parseBlob(enc)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.append(nil), enc) || !got.since.Equal(b.since) || got.idle != b.idle || got.kind != b.kind {
			t.Errorf("%+v came back as %+v", b, got)
		}
		for n := range enc {
			if _, err := parseBlob(enc[:n]); !errors.Is(err, ErrMalformed) {
				t.Errorf("the first %d of %d bytes: %v", n, len(enc), err)
			}
		}
	}
}

func FuzzParseBlob(f *testing.F) {
	for _, b := range blobs() {
		f.Add(b.append(nil))
	}
	f.Add([]byte("brly\x02"))
	f.Fuzz(func(t *testing.T, p []byte) {
		b, err := parseBlob(p)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrVersion) {
				t.Errorf("not a documented error: %v", err)
			}
			return
		}
		if enc := b.append(nil); !bytes.Equal(enc, p) {
			t.Errorf("%x is encoded again as %x", p, enc)
		}
		if n := b.files(); n < int(b.kind) || n > 2*int(b.kind) {
			t.Errorf("%d files", n)
		}
		for _, fl := range b.flows {
			if len(fl.stash) > maxStash || fl.finished && (!fl.eof || fl.held > 0 || len(fl.stash) > 0) {
				t.Errorf("%+v", fl)
			}
		}
	})
}
