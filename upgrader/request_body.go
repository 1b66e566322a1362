package upgrader

import (
	"io"
	"net/http"
	"sync"
)

// followedBody is a request's body that knows where it ends.
type followedBody struct {
	io.ReadCloser
	mu      sync.Mutex // held while it is read
	left    int64      // what has not been read; negative where the request does not say
	ended   bool
	expects bool   // to be asked for it, with 100 Continue
	kept    []byte // read already, though not by the program
}

func followBody(r *http.Request) *followedBody {
	return &followedBody{ReadCloser: r.Body, left: r.ContentLength, expects: r.Header.Get("Expect") != ""}
}

// Read is the program's.
func (b *followedBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.kept) > 0 {
		n := copy(p, b.kept)
		b.kept = b.kept[n:]
		return n, nil
	}
	n, err := b.ReadCloser.Read(p)
	b.note(n, err)
	return n, err
}

func (b *followedBody) note(n int, err error) {
	if b.left >= 0 {
		b.left -= int64(n)
	}
	b.ended = b.ended || err == io.EOF
}

// Close has net/http read the rest, unless that is too much: nobody is told where it ended.
func (b *followedBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept, b.left = nil, -1
	return b.ReadCloser.Close()
}

// hasEnded tells whether all of the body has been read. If it has not, but all of it is in what has been read ahead, it
// is read now and kept for the program: only behind its end does net/http look for the next request.
func (b *followedBody) hasEnded(ahead func() int) bool {
	if !b.mu.TryLock() {
		return false // somebody is reading it
	}
	defer b.mu.Unlock()
	if b.ended || b.left < 0 || b.expects || int64(ahead()) < b.left {
		return b.ended
	}
	kept := make([]byte, b.left)
	n, err := io.ReadFull(b.ReadCloser, kept)
	b.kept, b.left = kept[:n], b.left-int64(n)
	b.ended = err == nil
	return b.ended
}
