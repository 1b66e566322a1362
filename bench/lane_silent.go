package bench

import (
	"net/http"
	"time"
)

// Silent is the lane of clients that connect, say nothing for a while (DefaultHold if hold is 0) or throughout an
// upgrade, and then ask, with TLS beginning by the handshake. It is called "http silent" or "https silent". It is
// [Timed].
//
// A connection that is ended while it is silent is a loss: the server had accepted it, and a client that takes it up
// in just that moment has no way to tell that it may ask again. A server whose patience with silent connections is
// shorter than the wait loses them all.
func Silent(target HTTP, hold time.Duration) Lane {
	lane := newHTTPLane("silent", http.MethodGet, target)
	lane.once = true
	return &timed[*httpClient]{lane, newHold(hold), lane.client, silent}
}

func silent(c *httpClient, seq int64, deadline time.Time, wait func()) (r Result) {
	on, err := c.dialer.connect(c.ctx, deadline)
	if err != nil {
		return r.over(err)
	}
	defer on.drop()
	r.opened(on)
	wait()
	if c.beforeSend != nil {
		c.beforeSend(on)
	}
	switch err := on.atRest(); {
	case err == errSpoke:
		loss := *errUnasked
		return r.over(&loss)
	case err != nil:
		return r.over(cut(err))
	}
	if err := c.dialer.secure(on, on.wire); err != nil {
		return r.over(err)
	}
	r.Resumed = on.resumed
	c.compose(seq)
	n, err := on.Write(c.request)
	got, err := c.receive(on, n, err)
	if err == nil {
		err = c.nothingMore(on)
	}
	if err != nil {
		return r.over(err)
	}
	return c.settle(&r, got)
}

// SilentTCP is Silent for an echo server at addr (host:port). It is called "tcp silent".
func SilentTCP(addr string, hold time.Duration) Lane {
	lane := &echoLane{name: "tcp silent", addr: addr}
	return &timed[*echoClient]{lane, newHold(hold), lane.client, silentTCP}
}

func silentTCP(c *echoClient, seq int64, deadline time.Time, wait func()) (r Result) {
	on, err := c.dialer.dial(c.ctx, deadline)
	if err != nil {
		return r.over(err)
	}
	defer on.drop()
	r.opened(on)
	wait()
	if err := on.atRest(); err != nil {
		return r.over(c.cutAtRest(on, err))
	}
	return r.over(c.exchange(on, seq))
}
