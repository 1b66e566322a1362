package upgrader

import (
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
)

func TestFollowedBody(t *testing.T) {
	t.Parallel()
	const text = "hello there"
	follow := func(r io.Reader, length int64) *followedBody {
		req := httptest.NewRequest("POST", "/", nil)
		req.Body, req.ContentLength = io.NopCloser(r), length
		return followBody(req)
	}
	ahead := func(n int) func() int { return func() int { return n } }
	none := func() int { t.Error("asked what has been read ahead"); return 0 }

	t.Run("read to its end", func(t *testing.T) {
		b := follow(strings.NewReader(text), -1)
		if b.hasEnded(none) {
			t.Error("ended before it was read")
		}
		if got, err := io.ReadAll(b); string(got) != text || err != nil || !b.hasEnded(none) {
			t.Errorf("%q, %v, ended %v", got, err, b.ended)
		}
	})
	t.Run("all there", func(t *testing.T) {
		b := follow(iotest.DataErrReader(strings.NewReader(text)), int64(len(text)))
		if _, err := io.ReadFull(b, make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
		if b.hasEnded(ahead(len(text) - 4)) {
			t.Error("ended though a byte is missing")
		}
		if !b.hasEnded(ahead(len(text) - 3)) {
			t.Error("not ended though it is there")
		}
		if got, err := io.ReadAll(iotest.OneByteReader(b)); string(got) != text[3:] || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
	t.Run("asked for", func(t *testing.T) {
		b := follow(strings.NewReader(text), int64(len(text)))
		b.expects = true
		if b.hasEnded(none) {
			t.Error("ended before anybody asked for it")
		}
	})
	t.Run("being read", func(t *testing.T) {
		r, w := io.Pipe()
		b := follow(r, 2)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = io.ReadAll(b)
		}()
		_, _ = io.WriteString(w, "h") // when it returns the reader is in its Read, or between two
		b.hasEnded(ahead(0))
		_, _ = io.WriteString(w, "i")
		w.Close()
		<-ended
		if !b.hasEnded(none) {
			t.Error("not ended")
		}
	})
	t.Run("closed", func(t *testing.T) {
		b := follow(iotest.DataErrReader(strings.NewReader(text)), int64(len(text)))
		b.hasEnded(ahead(len(text)))
		if err := b.Close(); err != nil || !b.hasEnded(none) || len(b.kept) > 0 {
			t.Errorf("%v, ended %v, kept %q", err, b.ended, b.kept)
		}
		b = follow(strings.NewReader(text), int64(len(text)))
		if b.Close() != nil || b.hasEnded(none) {
			t.Error("ended though nobody has read it")
		}
	})
}
