package upgrader

import (
	"net"
	"net/netip"
	"sync/atomic"
)

// Socket is an accepted connection that nobody has registered with Go's poller: a bare descriptor, for a program that
// has an event loop of its own. Exactly one of Take, Conn and Close is to be called.
type Socket struct {
	tracked TrackedConn
	fd      int
	peer    netip.AddrPort
	spent   atomic.Bool
}

// AcceptSocket is Accept for those who go on with the descriptor. It promises the same: it waits while another
// generation serves, returns net.ErrClosed when this process has stopped accepting, empties the queue of a listener that
// is removed, and the connection is waited for on a drain until it is taken or closed. A TCP connection has
// TCP_NODELAY, and keep-alive as Options.ListenConfig or SetKeepAlive has it, which is Go's default otherwise.
//
// It is for Linux. Elsewhere it returns errors.ErrUnsupported, and so it does where there is no descriptor left for what
// it needs once: then Accept can be called.
func (l *NamedListener) AcceptSocket() (*Socket, error) { return l.acceptSocket() }

// SetKeepAlive says how the kernel asks after the clients of AcceptSocket's connections from now on. Enable false
// switches it off. It costs nothing per connection: those inherit it from the listener.
func (l *NamedListener) SetKeepAlive(c net.KeepAliveConfig) error { return l.setSocketKeepAlive(c) }

// Peer returns the client's address, which is not valid on a Unix socket. An IPv6 zone is a number.
func (s *Socket) Peer() netip.AddrPort { return s.peer }

// Close closes the connection.
func (s *Socket) Close() error { return s.tracked.abort() }

// bareConn is the connection of a Socket as a tracker knows it: something to close.
type bareConn struct {
	net.Conn // nil: what is not below is not called
	s        *Socket
}

// Close closes the descriptor, unless it has been taken.
func (c bareConn) Close() error {
	if c.s.spent.Swap(true) {
		return net.ErrClosed
	}
	return closeSocket(c.s.fd)
}
