package bench

import (
	"context"
	"net/http"
	"time"
)

// KeepAlive is the lane of POSTs on connections that stay open. It is called "http keep-alive", or "https keep-alive"
// if the target has TLS; a client that has to connect again then offers to resume its session. If the server echoes
// bodies when it is probed, every echo is compared.
func KeepAlive(target HTTP) Lane {
	return keepAlive{newHTTPLane("keep-alive", http.MethodPost, target)}
}

type keepAlive struct{ *httpLane }

func (keepAlive) Persistent() bool { return true }

func (l keepAlive) Client(ctx context.Context, id int) Client {
	return &keepAliveClient{httpClient: l.resumingClient(ctx, id)}
}

type keepAliveClient struct {
	*httpClient
	on    *conn
	renew bool // the connection before ended as HTTP/1.1 allows, with nothing lost
}

func (c *keepAliveClient) Do(seq int64, deadline time.Time) (r Result) {
	if err := c.ready(&r, deadline); err != nil {
		return r.over(err)
	}
	c.compose(seq)
	got, err := c.exchange(c.on)
	if err != nil {
		c.forget()
		return r.over(err)
	}
	c.keep(got)
	return c.settle(&r, got)
}

// ready sees to it that there is a connection, and that the server has not ended it. The error is a *lossError.
func (c *keepAliveClient) ready(r *Result, deadline time.Time) error {
	if c.on != nil {
		c.on.arm(deadline)
		switch err := c.on.atRest(); {
		case err == errSpoke:
			loss := c.unasked(c.on) // before the bytes are read
			polite := c.timedOutAtRest(c.on)
			c.forget()
			if !polite {
				return loss
			}
			c.renew = true
		case err != nil:
			c.forget()
			c.renew = true
		}
	}
	if c.on == nil {
		renewing := c.renew
		c.renew = false
		on, err := c.dialer.dial(c.ctx, deadline)
		if err != nil {
			return err
		}
		c.on = on
		r.opened(on)
		r.Renewed = renewing
	}
	r.Dialled = c.on.dialled
	return nil
}

// keep closes the connection if the answer says that it is the last one on it.
func (c *keepAliveClient) keep(got httpAnswer) {
	if got.close {
		c.Close()
		c.renew = true
	}
}

func (c *keepAliveClient) forget() {
	c.on.drop()
	c.on = nil
}

func (c *keepAliveClient) Close() {
	if c.on != nil {
		c.on.close()
		c.on = nil
	}
}
