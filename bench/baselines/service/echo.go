package service

import (
	"io"
	"net"
	"sync"
)

// Echo is a TCP echo that knows its connections, as people write one who want to drain it.
type Echo struct {
	open sync.WaitGroup
}

// Serve echoes on what l accepts, until l is closed.
func (e *Echo) Serve(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		e.open.Go(func() {
			defer c.Close()
			io.Copy(c, c)
		})
	}
}

// Wait returns when the clients have closed all connections.
func (e *Echo) Wait() { e.open.Wait() }
