package bench

import (
	"context"
	"time"
)

// LongTCP is the lane of TCP connections that stay open to an echo server at addr (host:port). Raw TCP has no polite
// close, so one that ends is a loss even at rest. It is called "tcp long".
func LongTCP(addr string) Lane {
	return longTCP{&echoLane{name: "tcp long", addr: addr}}
}

type longTCP struct{ *echoLane }

func (longTCP) Persistent() bool { return true }

func (l longTCP) Client(ctx context.Context, id int) Client {
	return &longTCPClient{echoClient: l.client(ctx, id)}
}

type longTCPClient struct {
	*echoClient
	on *conn
}

func (c *longTCPClient) Do(seq int64, deadline time.Time) (r Result) {
	if c.on != nil {
		c.on.arm(deadline)
		if err := c.on.atRest(); err != nil {
			loss := c.cutAtRest(c.on, err)
			c.forget()
			return r.over(loss)
		}
	} else {
		on, err := c.dialer.dial(c.ctx, deadline)
		if err != nil {
			return r.over(err)
		}
		c.on, r.Opened = on, 1
	}
	r.Dialled = c.on.dialled
	err := c.exchange(c.on, seq)
	if err != nil {
		c.forget()
	}
	return r.over(err)
}

func (c *longTCPClient) forget() {
	c.on.drop()
	c.on = nil
}

func (c *longTCPClient) Close() {
	if c.on != nil {
		c.on.close()
		c.on = nil
	}
}
