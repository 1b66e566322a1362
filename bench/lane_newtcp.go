package bench

import (
	"context"
	"time"
)

// NewTCP is the lane that opens a TCP connection to an echo server at addr (host:port) for each exchange. It is called
// "tcp new".
func NewTCP(addr string) Lane {
	return newTCP{&echoLane{name: "tcp new", addr: addr}}
}

type newTCP struct{ *echoLane }

func (newTCP) Persistent() bool { return false }

func (l newTCP) Client(ctx context.Context, id int) Client {
	return &newTCPClient{l.client(ctx, id)}
}

type newTCPClient struct{ *echoClient }

func (c *newTCPClient) Do(seq int64, deadline time.Time) (r Result) {
	on, err := c.dialer.dial(c.ctx, deadline)
	if err != nil {
		return r.over(err)
	}
	r.Opened, r.Dialled = 1, on.dialled
	err = c.exchange(on, seq)
	on.close()
	return r.over(err)
}

func (c *newTCPClient) Close() {}
