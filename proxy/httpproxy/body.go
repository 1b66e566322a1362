package httpproxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// smallBody is up to which length a body is read before a server is chosen, and sent along with the head.
	smallBody = len(buffer{})
	// linger is how long a client that is still sending gets to read the answer before its connection is closed, and
	// lingerBytes how much more is taken from it: a reset would take the answer away (RFC 9112, section 9.6).
	linger      = 500 * time.Millisecond
	lingerBytes = 256 << 10
)

var errStopped = errors.New("the request has been answered")

// body is a request's body: counted, limited, and read by nobody once stop has returned.
type body struct {
	src   io.Reader
	rc    *http.ResponseController
	http1 bool
	limit int64 // 0 for none

	mu      sync.Mutex // held while src is read
	stopped bool
	begun   atomic.Bool           // by a client of Expect: 100-continue, too: it has been told to go on
	err     atomic.Pointer[error] // the first of reading, but for io.EOF
	count   atomic.Int64
	ended   atomic.Bool
	sending sync.WaitGroup // who reads
}

func newBody(w http.ResponseWriter, r *http.Request, limit int64) *body {
	b := &body{src: r.Body, rc: http.NewResponseController(w), http1: r.ProtoMajor == 1, limit: limit}
	b.begun.Store(r.Header["Expect"] == nil)
	return b
}

// Read reads from the client.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped {
		return 0, errStopped
	}
	b.begun.Store(true)
	n, err := b.src.Read(p)
	if b.limit > 0 && b.count.Load()+int64(n) > b.limit {
		n, err = 0, errTooLarge
	}
	b.count.Add(int64(n))
	if err == io.EOF {
		b.ended.Store(true)
	} else if err != nil {
		b.err.CompareAndSwap(nil, &err)
	}
	return n, err
}

// Close does nothing: the server closes the client's body, and a transport must not.
func (b *body) Close() error { return nil }

// failure is the client's, if it has one.
func (b *body) failure(ctx context.Context) *failure {
	if b == nil {
		return nil
	}
	if ctx.Err() != nil {
		b.settle()
	}
	if err := b.err.Load(); err != nil {
		return &failure{class: bodyFailure(ctx, *err), err: *err}
	}
	return nil
}

// settle waits for a Read that is about to return its error: net/http cancels the request's context before it does.
func (b *body) settle() {
	const most, step = 100 * time.Millisecond, time.Millisecond
	for waited := time.Duration(0); waited < most && b.err.Load() == nil; waited += step {
		if b.mu.TryLock() {
			b.mu.Unlock()
			return
		}
		time.Sleep(step)
	}
}

// unfinished tells whether the client's connection cannot be used for another request, since this one's rest is on it.
func (b *body) unfinished() bool { return b != nil && b.http1 && !b.ended.Load() }

// stop ends reading and waits for it. Over HTTP/1 net/http would go on with what is left of the body as the next
// request, so whoever answers has said Connection: close before.
func (b *body) stop() {
	if !b.ended.Load() {
		lingers := b.http1 && b.begun.Load() // else the client waits, too
		if err := b.err.Load(); err != nil {
			lingers = lingers && *err == errTooLarge
		}
		until := time.Now()
		if lingers {
			_ = b.rc.Flush()
			until = until.Add(linger)
		}
		_ = b.rc.SetReadDeadline(until) // a Read may be under way
		b.mu.Lock()
		b.stopped = true
		if lingers {
			_, _ = io.CopyN(io.Discard, b.src, lingerBytes)
		}
		b.mu.Unlock()
	}
	b.sending.Wait()
}
