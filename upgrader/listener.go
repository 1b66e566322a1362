package upgrader

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// NamedListener is a listener that upgrades: it stops and goes on accepting without being closed, and knows its
// connections. See [Fds.ListenNamed].
type NamedListener struct {
	*acceptor
	fd      *fd
	config  *net.ListenConfig
	sockets sockets // of AcceptSocket
}

func newNamedListener(fds *Fds, x *fd, raw stoppable) *NamedListener {
	l := &NamedListener{fd: x, config: fds.listen, acceptor: newAcceptor(raw, x.key.name)}
	if x.parents {
		l.keepAlive = fds.listen
	}
	fds.adopt(l.acceptor)
	return l
}

// acceptorOf returns what makes ln stop and counts its connections, also where it is not named or is wrapped.
func (f *Fds) acceptorOf(ln net.Listener) *acceptor {
	if l, ok := ln.(*NamedListener); ok {
		return l.acceptor
	}
	a := newAcceptor(ln, ln.Addr().String())
	f.mu.Lock()
	defer f.mu.Unlock()
	f.adopt(a)
	return a
}

// adopt pauses and drains a with all others from now on.
func (f *Fds) adopt(a *acceptor) {
	f.acceptors = append(f.acceptors, a)
	if !f.open {
		a.pause()
	}
}

// Name returns what the listener is called.
func (l *NamedListener) Name() string { return l.fd.key.name }

// Protocol returns the listener's label.
func (l *NamedListener) Protocol() Protocol { return l.fd.protocol }

// Inherited tells whether the listener came from the parent.
func (l *NamedListener) Inherited() bool { return l.fd.parents }

// SyscallConn gives access to the socket, as of syscall.Conn.
func (l *NamedListener) SyscallConn() (syscall.RawConn, error) {
	return l.raw.(syscall.Conn).SyscallConn()
}

// leave ends accepting: at once if another process has the listener too, or else when its queue is empty.
func (l *NamedListener) leave(shared bool) {
	if shared {
		l.Close()
		return
	}
	l.drain()
}

// settleTime is how long a removed listener goes on accepting, for what is queued and for handshakes that are under way:
// at least a round trip to a distant client.
const settleTime = 500 * time.Millisecond

type deadliner interface{ SetDeadline(time.Time) error }

// acceptor stops and resumes a listener's Accept, and tracks what it returns. An Accept that is in the kernel when the
// listener is paused may still return one connection, which is served like any other.
type acceptor struct {
	raw       net.Listener
	label     string            // for the log
	keepAlive *net.ListenConfig // to apply to connections; nil where raw does so itself
	conns     tracker

	mu      sync.Mutex
	state   acceptState
	since   time.Time
	changed chan struct{} // closed when state changes
	other   *os.File      // a duplicate of raw which is waited for, too; nil if there is none
}

type acceptState uint8

const (
	accepting acceptState = iota
	paused                // the kernel queues what arrives
	emptying              // accepts what has arrived, then is closed
	closed
)

func newAcceptor(raw net.Listener, label string) *acceptor {
	return &acceptor{raw: raw, label: label, changed: make(chan struct{})}
}

// set moves on from any of the given states, and interrupts an Accept that waits at the deadline.
func (a *acceptor) set(next acceptState, deadline time.Time, from ...acceptState) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range from {
		if a.state == s {
			a.state = next
			a.since = time.Now()
			close(a.changed)
			a.changed = make(chan struct{})
			a.setDeadline(deadline)
			return
		}
	}
}

// setDeadline interrupts whoever waits. It is called with mu held.
func (a *acceptor) setDeadline(t time.Time) {
	if d, ok := a.raw.(deadliner); ok {
		_ = d.SetDeadline(t)
	}
	if a.other != nil {
		_ = a.other.SetDeadline(t)
	}
}

// shadow has a duplicate of raw stop and close with it. It returns false where a is closed; then file is the caller's.
func (a *acceptor) shadow(file *os.File) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.state == closed {
		return false
	}
	if a.state != accepting {
		_ = file.SetDeadline(longAgo)
	}
	a.other = file
	return true
}

var longAgo = time.Unix(1, 0)

func (a *acceptor) pause()  { a.set(paused, longAgo, accepting) }
func (a *acceptor) resume() { a.set(accepting, time.Time{}, paused) }
func (a *acceptor) drain()  { a.set(emptying, longAgo, accepting, paused) }

// Close ends this process's accepting, as net.Listener's. The next generation still gets a named listener; Remove
// closes it for good.
func (a *acceptor) Close() error {
	a.set(closed, longAgo, accepting, paused, emptying)
	a.mu.Lock()
	other := a.other
	a.mu.Unlock()
	if other != nil {
		_ = other.Close()
	}
	return a.raw.Close()
}

func (a *acceptor) look() (acceptState, <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state, a.changed
}

// waitEmptied waits until the queue of a listener that is being emptied has been. A program that has stopped calling
// Accept does not hold it up.
func (a *acceptor) waitEmptied() {
	enough := time.After(3 * settleTime)
	for {
		state, changed := a.look()
		if state != emptying {
			return
		}
		select {
		case <-changed:
		case <-enough:
			return
		}
	}
}

// Addr returns the address that the listener is bound to.
func (a *acceptor) Addr() net.Addr { return a.raw.Addr() }

// Accept waits for a connection, and while the listener is paused. It returns net.ErrClosed when this process has
// stopped accepting.
func (a *acceptor) Accept() (net.Conn, error) {
	var c net.Conn
	err := a.next(func() (err error) {
		c, err = a.raw.Accept()
		return err
	})
	if err != nil {
		return nil, err
	}
	a.setKeepAlive(c)
	return a.conns.track(c), nil
}

// next calls accept, which waits until the deadline, when and for as long as this process accepts.
func (a *acceptor) next(accept func() error) error {
	for {
		state, changed := a.look()
		switch state {
		case closed:
			return a.errClosed()
		case paused:
			<-changed
			continue
		case emptying:
			if !a.takeMore() {
				a.Close()
				return a.errClosed()
			}
		}
		err := accept()
		if err == nil {
			return nil
		}
		if isTemporary(err) {
			return err // the caller's to wait out, as with any listener
		}
		if state == emptying {
			a.Close() // its queue is empty
			return a.errClosed()
		}
		if now, _ := a.look(); now == accepting && !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
}

// takeMore sets the deadline of an Accept that empties the queue: it has time to look, even where the program comes late
// to ask. Under a load that never pauses there is an end to it.
func (a *acceptor) takeMore() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if a.state == emptying {
		deadline := a.since.Add(settleTime)
		if soon := now.Add(10 * time.Millisecond); deadline.Before(soon) {
			deadline = soon
		}
		a.setDeadline(deadline)
	}
	return now.Before(a.since.Add(2 * settleTime))
}

func (a *acceptor) errClosed() error {
	return &net.OpError{Op: "accept", Net: a.raw.Addr().Network(), Addr: a.raw.Addr(), Err: net.ErrClosed}
}

// isTemporary tells errors of one connection, and of a full fd table, from those of the listener.
func isTemporary(err error) bool {
	var ne interface{ Temporary() bool }
	return !errors.Is(err, os.ErrDeadlineExceeded) && errors.As(err, &ne) && ne.Temporary()
}

// setKeepAlive gives a connection the ListenConfig's keep-alive setting, which an inherited listener does not know.
func (a *acceptor) setKeepAlive(c net.Conn) {
	tc, ok := c.(*net.TCPConn)
	if !ok || a.keepAlive == nil {
		return
	}
	switch lc := a.keepAlive; {
	case lc.KeepAliveConfig.Enable:
		_ = tc.SetKeepAliveConfig(lc.KeepAliveConfig)
	case lc.KeepAlive < 0:
		_ = tc.SetKeepAlive(false)
	case lc.KeepAlive > 0:
		_ = tc.SetKeepAlivePeriod(lc.KeepAlive)
	}
}
