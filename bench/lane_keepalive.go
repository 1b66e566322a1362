package bench

import (
	"context"
	"net/http"
	"time"
)

// KeepAlive is the lane of POSTs on connections that stay open. It is called "http keep-alive", or "https keep-alive"
// if the target has TLS; a client that has to connect again then offers to resume its session. If the server echoes bodies when it is probed, every echo is compared.
func KeepAlive(target HTTP) Lane {
	return keepAlive{&httpLane{name: target.scheme() + " keep-alive", method: http.MethodPost, target: target.withDefaults()}}
}

type keepAlive struct{ *httpLane }

func (keepAlive) Persistent() bool { return true }

func (l keepAlive) Client(ctx context.Context, id int) Client {
	return &keepAliveClient{httpClient: l.client(ctx, id), dialer: l.dialer.resuming()}
}

type keepAliveClient struct {
	*httpClient
	dialer dialer
	on     *conn
	renew  bool // the connection before ended as HTTP/1.1 allows, with nothing lost
}

func (c *keepAliveClient) Do(seq int64, deadline time.Time) (r Result) {
	if c.on != nil {
		c.on.arm(deadline)
		switch err := c.on.atRest(); {
		case err == errSpoke && !c.timedOutAtRest(c.on):
			c.forget()
			return r.end(errUnasked)
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
			return r.end(err)
		}
		c.on = on
		r.Opened, r.Renewed, r.Resumed = 1, renewing, on.resumed
	}
	r.Dialled = c.on.dialled
	c.compose(seq)
	got, err := c.exchange(c.on)
	if err != nil {
		c.forget()
		return r.end(err)
	}
	if got.close {
		c.Close()
		c.renew = true
	}
	r.Generation = got.generation
	return r.end(c.judge(got))
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
