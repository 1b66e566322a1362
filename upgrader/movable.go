package upgrader

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

// An HTTP/1 connection can move to the next generation when net/http waits for the first byte of its next request, and
// has none of it. That is known from outside, by what net/http does with its net.Conn:
//
//   - a connection that has not spoken: its first Read;
//   - between requests: ConnState with StateIdle, one SetReadDeadline, and a Read with the whole buffer. A shorter one
//     means that bytes of the next request are buffered already; a second SetReadDeadline, that it has begun. Line ends
//     do not count: some clients send one after the body of a POST, and no request begins with one.
//
// The connection moves inside that Read, which then returns io.EOF; net/http closes what is a closed duplicate by then.
// If it cannot move, the Read goes on. A test pins each of these assumptions with a spy (TestNetHTTPWaitsAsAssumed), and
// waitsAsAssumed checks them in the program itself.

// wholeBuffer is the size of net/http's read buffer. It waits for a request until four bytes of it are there.
const (
	wholeBuffer = 4096
	fewBytes    = 3
)

// movableConn is what Serve gives net/http for a plain connection of a named listener.
type movableConn struct {
	*TrackedConn
	h        *httpServer
	listener string

	mu        sync.Mutex
	idle      bool // nothing of the next request has been read
	served    bool // it has had a request
	hijacked  bool
	deadlines int       // calls of SetReadDeadline since it became idle
	deadline  time.Time // what net/http asked for
	lineEnds  int       // how many bytes of line ends what was read so far ends with
	waiting   bool      // in a Read in which it can move
	nudged    chan struct{}
	stays     bool          // it was refused
	sending   chan struct{} // closed when it is no longer on its way, which is when it is neither ours nor theirs
	closing   bool          // Close was called meanwhile
	moved     bool
	adopted   *adoption // until the first request has come
}

// adoption is what is different about a connection that has come from the parent, until its first request has come:
// net/http takes it for one that has just been accepted.
type adoption struct {
	served   bool // it has had a request
	since    time.Time
	until    time.Time // when it has been idle for too long; zero for never
	newlines int       // that may still precede a request, after a POST (RFC 9112, section 2.2)
	spoken   bool
	shift    time.Duration // how long it was idle here: net/http's deadlines count from since
}

func newMovable(c *TrackedConn, h *httpServer, listener string, a *adoption) *movableConn {
	m := &movableConn{TrackedConn: c, h: h, listener: listener, idle: true, adopted: a}
	if a != nil {
		_ = m.applyDeadline() // net/http sets none where it knows no time limit for the first request
	}
	h.remember(m)
	return m
}

// Adopted tells whether the connection has come from the parent, until its first request has come. A program sees it
// in http.StateNew, by asserting interface{ Adopted() bool }.
func (c *movableConn) Adopted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.adopted != nil
}

// rests tells whether a Read of n bytes is one in which the connection can move.
func (c *movableConn) rests(n int) bool {
	if !c.idle || c.hijacked {
		return false
	}
	return !c.served || c.deadlines == 1 && n <= wholeBuffer && wholeBuffer-n <= min(c.lineEnds, fewBytes)
}

// moves tells whether it is to move now, in a Read in which it can.
func (c *movableConn) moves() bool { return c.h.moving() && !c.stays }

func (c *movableConn) Read(b []byte) (int, error) {
	for {
		c.mu.Lock()
		if c.moved {
			c.mu.Unlock()
			return 0, io.EOF
		}
		rests := c.rests(len(b))
		if rests && c.moves() {
			c.mu.Unlock()
			if c.move() {
				return 0, io.EOF
			}
			continue
		}
		c.waiting = rests
		c.mu.Unlock()

		n, err := c.TrackedConn.Read(b)

		c.mu.Lock()
		c.waiting = false
		nudged := c.nudged
		c.nudged = nil
		if n > 0 {
			n = c.begin(b[:n])
		}
		if nudged != nil {
			_ = c.applyDeadline()
		}
		again := n == 0 && (err == nil || nudged != nil && errors.Is(err, os.ErrDeadlineExceeded))
		move := again && c.rests(len(b)) && c.moves()
		c.mu.Unlock()

		if move && c.move() {
			err, again = io.EOF, false
		}
		if nudged != nil {
			close(nudged)
		}
		if !again || len(b) == 0 {
			return n, err
		}
	}
}

// begin notes that b, just read, belongs to a request. It returns how much of b there is to tell net/http.
func (c *movableConn) begin(b []byte) int {
	n := len(b)
	ends := 0
	for ends < n && isLineEnd(b[n-1-ends]) {
		ends++
	}
	if ends == n {
		ends = min(c.lineEnds+n, wholeBuffer)
	}
	c.lineEnds = ends
	if a := c.adopted; a != nil && !a.spoken {
		for a.newlines > 0 && n > 0 && isLineEnd(b[0]) {
			copy(b, b[1:n])
			n--
			a.newlines--
		}
		if n == 0 {
			return 0
		}
		a.spoken, a.shift = true, time.Since(a.since)
		_ = c.applyDeadline()
	}
	if !c.served || ends < n {
		c.idle = false
	}
	return n
}

func isLineEnd(b byte) bool { return b == '\r' || b == '\n' }

// SetReadDeadline is net/http's; see adoption for what it means on a connection from the parent.
func (c *movableConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadlines++
	c.deadline = t
	if c.nudged != nil {
		return nil // set when the Read has ended
	}
	return c.applyDeadline()
}

// SetDeadline sets both deadlines.
func (c *movableConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *movableConn) applyDeadline() error {
	t := c.deadline
	interrupt := !t.IsZero() && t.Before(time.Unix(1e6, 0)) // net/http ends a Read that way
	if a := c.adopted; a != nil && !interrupt {
		if !a.spoken {
			t = a.until
		} else if !t.IsZero() {
			t = t.Add(a.shift)
		}
	}
	return c.TrackedConn.SetReadDeadline(t)
}

// setState is told of every http.ConnState.
func (c *movableConn) setState(s http.ConnState) {
	c.mu.Lock()
	switch s {
	case http.StateActive:
		c.idle, c.adopted = false, nil // the program's own deadlines mean what they say
	case http.StateIdle:
		c.idle, c.served, c.deadlines, c.adopted = true, true, 0, nil
	case http.StateHijacked:
		c.hijacked, c.adopted = true, nil
	}
	c.mu.Unlock()
	if s == http.StateHijacked {
		c.h.forget(c)
	}
}

// nudge has a Read that waits try to move. It returns nil where none does, or else a channel that is closed when it has.
func (c *movableConn) nudge() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.waiting || c.stays || c.nudged != nil {
		return nil
	}
	c.nudged = make(chan struct{})
	_ = c.TrackedConn.SetReadDeadline(longAgo)
	return c.nudged
}

func (c *movableConn) mayMove() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stays = false
}

// willMove tells whether the connection is expected to move when it is idle.
func (c *movableConn) willMove() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.h.moving() && !c.stays && !c.hijacked
}

// move sends the connection to the generation in charge, and tells whether that has it.
func (c *movableConn) move() bool {
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		return false
	}
	sent := make(chan struct{})
	c.sending = sent
	journey := httpJourney{Listener: c.listener, Served: c.served}
	limit := c.deadline
	if c.adopted != nil {
		journey.Served, limit = c.adopted.served, c.adopted.until
	}
	c.mu.Unlock()
	if !limit.IsZero() {
		journey.Idle = max(time.Until(limit), time.Millisecond)
	}
	err := c.h.send(c.TrackedConn, journey)
	c.mu.Lock()
	c.sending = nil
	c.moved, c.stays = err == nil, err != nil
	moved, closing := c.moved, c.closing
	c.mu.Unlock()
	close(sent)
	if closing {
		_ = c.Close()
	}
	return moved
}

// Close closes the connection, or this process's part in it.
func (c *movableConn) Close() error {
	c.h.forget(c)
	c.mu.Lock()
	moved := c.moved
	c.closing = true
	sending := c.sending
	c.mu.Unlock()
	switch {
	case sending != nil: // closed when it is known whose it is: a FIN now could end a connection of the next generation
		return nil
	case moved:
		return c.abort() // and no FIN: the socket lives on
	default:
		return c.TrackedConn.Close()
	}
}

// ours returns an error where the socket is the next generation's.
func (c *movableConn) ours(op string) error {
	for {
		c.mu.Lock()
		moved, sending := c.moved, c.sending
		c.mu.Unlock()
		switch {
		case moved:
			return c.errClosed(op)
		case sending == nil:
			return nil
		}
		<-sending
	}
}

// Write fails on a connection that has moved.
func (c *movableConn) Write(b []byte) (int, error) {
	if err := c.ours("write"); err != nil {
		return 0, err
	}
	return c.TrackedConn.Write(b)
}

// ReadFrom keeps to Write's rule.
func (c *movableConn) ReadFrom(r io.Reader) (int64, error) {
	if err := c.ours("write"); err != nil {
		return 0, err
	}
	return c.TrackedConn.ReadFrom(r)
}

// CloseWrite keeps to Write's rule.
func (c *movableConn) CloseWrite() error {
	if err := c.ours("close"); err != nil {
		return err
	}
	return c.TrackedConn.CloseWrite()
}

// CloseRead keeps to Write's rule.
func (c *movableConn) CloseRead() error {
	if err := c.ours("close"); err != nil {
		return err
	}
	return c.TrackedConn.CloseRead()
}
