package bench

import (
	"sync/atomic"
	"syscall"
)

// Tapped is a Client that shows its connections to the kernel's witness. Only Linux has one.
type Tapped interface {
	Client
	// Tap is called once, before the first operation, with the same look for all clients of a lane. From then on the client
	// calls look with each of its TCP connections just before it closes it. Calls may come from several goroutines. look
	// does not keep the connection.
	Tap(look func(syscall.RawConn))
}

// tap adds up what the kernel sent again on a lane's connections.
type tap struct {
	segments, connections atomic.Int64
}

func (t *tap) on(c Client) {
	if tapped, ok := c.(Tapped); ok {
		tapped.Tap(t.look)
	}
}

func (t *tap) look(raw syscall.RawConn) {
	if n, ok := retransmits(raw); ok {
		t.segments.Add(n)
		t.connections.Add(1)
	}
}
