package httpproxy

import (
	"sync"
	"time"
)

const (
	// idleFor is how long an idle connection is kept, unless the server's Keep-Alive names a shorter time.
	idleFor = 60 * time.Second
	// sweepEvery is how often connections are closed that are idle for too long, or that the server has closed.
	sweepEvery = 5 * time.Second
)

// idleConns are the connections to one server that wait for a request, the latest last.
type idleConns struct {
	limit int

	mu     sync.Mutex
	conns  []*conn
	sweep  *time.Timer // nil while there is nothing to look at
	closed bool
}

// take returns a connection that was silent a moment ago, or nil.
func (i *idleConns) take() *conn {
	for {
		i.mu.Lock()
		n := len(i.conns)
		if n == 0 {
			i.mu.Unlock()
			return nil
		}
		c := i.conns[n-1]
		i.conns[n-1] = nil
		i.conns = i.conns[:n-1]
		i.mu.Unlock()
		if time.Now().Before(c.expiry) && c.alive() {
			c.reused = true
			return c
		}
		_ = c.Close()
	}
}

// put takes a connection over, or closes it.
func (i *idleConns) put(c *conn, keep time.Duration) {
	i.mu.Lock()
	if i.closed || len(i.conns) >= i.limit || keep <= 0 {
		i.mu.Unlock()
		_ = c.Close()
		return
	}
	c.expiry = time.Now().Add(keep)
	i.conns = append(i.conns, c)
	if i.sweep == nil {
		i.sweep = time.AfterFunc(sweepEvery, i.sweepUp)
	}
	i.mu.Unlock()
}

func (i *idleConns) sweepUp() {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := time.Now()
	kept := i.conns[:0]
	for _, c := range i.conns {
		if now.Before(c.expiry) && c.alive() {
			kept = append(kept, c)
		} else {
			_ = c.Close()
		}
	}
	clear(i.conns[len(kept):])
	i.conns = kept
	if len(kept) == 0 || i.closed {
		i.sweep = nil
	} else {
		i.sweep.Reset(sweepEvery)
	}
}

// close closes all, and whatever comes later.
func (i *idleConns) close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = true
	for _, c := range i.conns {
		_ = c.Close()
	}
	i.conns = nil
	if i.sweep != nil {
		i.sweep.Stop()
	}
}
