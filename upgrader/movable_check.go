package upgrader

import (
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// waitsAsAssumed tells whether net/http uses a connection in the way on which movableConn relies. Where it does not,
// connections do not move, and end with "Connection: close" as those of other servers do. It takes part of a millisecond,
// once.
var waitsAsAssumed = sync.OnceValue(func() bool { return checkWaits(new(http.Server)) })

// checkWaits has srv serve one connection, and answer one request.
func checkWaits(srv *http.Server) bool {
	ours, theirs := net.Pipe()
	defer ours.Close()
	w := &watchedConn{Conn: theirs, verdict: make(chan bool, 1)}
	srv.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	srv.ErrorLog = log.New(io.Discard, "", 0)
	srv.ConnState = func(_ net.Conn, s http.ConnState) { w.setState(s) }
	ln := newGiven(theirs.LocalAddr())
	go func() { _ = srv.Serve(ln) }()
	defer srv.Close()
	ln.conns <- w

	_ = ours.SetDeadline(time.Now().Add(time.Second))
	if _, err := io.WriteString(ours, "GET / HTTP/1.1\r\nHost: check\r\n\r\n"); err != nil {
		return false
	}
	go func() { _, _ = io.Copy(io.Discard, ours) }()
	select {
	case asAssumed := <-w.verdict:
		return asAssumed
	case <-time.After(time.Second):
		return false
	}
}

// watchedConn notes how net/http comes to wait for the second request.
type watchedConn struct {
	net.Conn
	verdict chan bool

	mu        sync.Mutex
	active    bool
	idle      bool
	deadlines int
}

func (w *watchedConn) setState(s http.ConnState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch s {
	case http.StateActive:
		w.active = true
	case http.StateIdle:
		w.idle, w.deadlines = true, 0
	case http.StateClosed:
		w.decide(false)
	}
}

func (w *watchedConn) decide(asAssumed bool) {
	select {
	case w.verdict <- asAssumed:
	default: // the first counts
	}
}

func (w *watchedConn) SetReadDeadline(t time.Time) error {
	w.mu.Lock()
	w.deadlines++
	w.mu.Unlock()
	return w.Conn.SetReadDeadline(t)
}

func (w *watchedConn) Read(b []byte) (int, error) {
	w.mu.Lock()
	if w.idle {
		w.decide(w.active && w.deadlines == 1 && len(b) == wholeBuffer)
	}
	w.mu.Unlock()
	return w.Conn.Read(b)
}
