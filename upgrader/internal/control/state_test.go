package control

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"
)

func statePayload(name, piece string) []byte {
	return append(append(binary.AppendUvarint(nil, uint64(len(name))), name...), piece...)
}

func add(t *testing.T, b *Blobs, more bool, name, piece string) {
	t.Helper()
	if err := b.Add(Message{Kind: State, More: more, Payload: statePayload(name, piece)}); err != nil {
		t.Fatal(err)
	}
}

func wantBlob(t *testing.T, b *Blobs, name, want string) {
	t.Helper()
	if got, ok := b.Get(name); !ok || string(got) != want {
		t.Errorf("blob %q is %q, %v, want %q", name, got, ok, want)
	}
}

func TestBlobs(t *testing.T) {
	var b Blobs
	if _, ok := b.Get("keys"); ok {
		t.Error("a blob out of nothing")
	}
	add(t, &b, true, "keys", "old ")
	if _, ok := b.Get("keys"); ok {
		t.Error("half a blob")
	}
	add(t, &b, false, "", "no name")
	add(t, &b, false, "\xff\x00", "")
	add(t, &b, false, "keys", "ones")
	wantBlob(t, &b, "", "no name")
	wantBlob(t, &b, "\xff\x00", "")
	wantBlob(t, &b, "keys", "old ones")
	add(t, &b, true, "keys", "new")
	wantBlob(t, &b, "keys", "old ones") // until all of the new one is there
	add(t, &b, false, "keys", "er")
	wantBlob(t, &b, "keys", "newer")
}

// A frame's buffer is its receiver's, not the blobs'.
func TestBlobsKeepNoFrame(t *testing.T) {
	var b Blobs
	payload := statePayload("keys", "secret")
	if err := b.Add(Message{Payload: payload}); err != nil {
		t.Fatal(err)
	}
	clear(payload)
	wantBlob(t, &b, "keys", "secret")
}

func TestMalformedState(t *testing.T) {
	var b Blobs
	for _, payload := range [][]byte{
		nil, {5}, {5, 'a', 'b'}, {0x80}, bytes.Repeat([]byte{0xff}, 11),
		append(binary.AppendUvarint(nil, math.MaxUint64), "name"...),
		append(binary.AppendUvarint(nil, 1<<63), "name"...),
		append(binary.AppendUvarint(nil, 1<<31), "name"...),
	} {
		if err := b.Add(Message{Payload: payload}); !errors.Is(err, ErrFrame) {
			t.Errorf("%x: %v", payload, err)
		}
	}
}

func TestBlobsAreBounded(t *testing.T) {
	var b Blobs
	add(t, &b, true, "endless", "")
	b.partial["endless"] = make([]byte, MaxState) // never touched, so never there
	if err := b.Add(Message{More: true, Payload: statePayload("endless", "x")}); !errors.Is(err, ErrFrame) {
		t.Errorf("got %v", err)
	}
}

// Whatever pieces of whatever blobs interleave, each blob is its last whole version.
func TestBlobsProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b Blobs
		whole, partial := map[string]string{}, map[string]string{}
		for range rapid.IntRange(0, 50).Draw(t, "frames") {
			name := rapid.SampledFrom([]string{"", "a", "b", "\xff"}).Draw(t, "name")
			piece := rapid.StringN(0, 3, 9).Draw(t, "piece")
			more := rapid.Bool().Draw(t, "more")
			if err := b.Add(Message{More: more, Payload: statePayload(name, piece)}); err != nil {
				t.Fatal(err)
			}
			partial[name] += piece
			if !more {
				whole[name] = partial[name]
				delete(partial, name)
			}
		}
		for _, name := range []string{"", "a", "b", "\xff"} {
			want, is := whole[name]
			if got, ok := b.Get(name); ok != is || string(got) != want {
				t.Fatalf("blob %q is %q, %v, want %q", name, got, ok, want)
			}
		}
	})
}

func FuzzBlobs(f *testing.F) {
	f.Add(statePayload("keys", "secret"), true, statePayload("keys", "more"))
	f.Add(statePayload("", ""), false, []byte{5, 'a'})
	f.Add(binary.AppendUvarint(nil, math.MaxUint64), true, []byte{0x80})
	f.Fuzz(func(t *testing.T, first []byte, more bool, second []byte) {
		var b Blobs
		for i, m := range []Message{{More: more, Payload: first}, {Payload: second}} {
			err := b.Add(m)
			size, n := binary.Uvarint(m.Payload)
			if good := n > 0 && size <= uint64(len(m.Payload)-n); good != (err == nil) {
				t.Fatalf("frame %d: %v", i, err)
			}
			if err != nil || m.More {
				continue
			}
			name, piece := m.Payload[n:n+int(size)], m.Payload[n+int(size):]
			if got, ok := b.Get(string(name)); !ok || !bytes.HasSuffix(got, piece) {
				t.Fatalf("blob %q is %q, %v", name, got, ok)
			}
		}
	})
}
