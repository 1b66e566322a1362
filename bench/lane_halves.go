package bench

import (
	"context"
	"net/http"
	"time"
)

// Halves is the lane of requests that are sent in two halves, with a wait between them (DefaultHold if hold is 0) or an
// upgrade: every other one is cut within its header, the rest within their body if they have one. It is called "http
// halves" or "https halves", and asks by POST. It is [Timed].
func Halves(target HTTP, hold time.Duration) Lane {
	lane := newHTTPLane("halves", http.MethodPost, target)
	lane.once = true
	return halves{lane, newHold(hold)}
}

type halves struct {
	*httpLane
	*hold
}

func (halves) Persistent() bool { return false }

func (l halves) Client(ctx context.Context, id int) Client {
	return &halvesClient{httpClient: l.client(ctx, id), waits: waits{hold: l.hold}}
}

type halvesClient struct {
	*httpClient
	waits
}

func (c *halvesClient) Do(seq int64, deadline time.Time) (r Result) {
	c.begin()
	on, err := c.dialer.dial(c.ctx, deadline)
	if err != nil {
		return r.over(err)
	}
	defer on.drop()
	r.opened(on)
	c.compose(seq)
	half := (len(c.request) - len(c.content)) / 2
	if seq%2 == 1 && len(c.content) > 0 {
		half = len(c.request) - len(c.content)/2
	}
	first, err := on.Write(c.request[:half])
	second := 0
	if err == nil {
		c.wait(c.ctx, deadline)
		if c.beforeSend != nil {
			c.beforeSend(on)
		}
		second, err = on.Write(c.request[half:])
	}
	got, err := c.receive(on, first+second, err)
	if err == nil {
		err = c.nothingMore(on)
	}
	if err != nil {
		return r.over(err)
	}
	return c.settle(&r, got)
}

func (c *halvesClient) Close() {}
