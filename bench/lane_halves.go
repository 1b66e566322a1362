package bench

import (
	"net/http"
	"time"
)

// Halves is the lane of requests that are sent in two halves, with a wait between them (DefaultHold if hold is 0) or an
// upgrade: every other one is cut within its header, the rest within their body if they have one. It is called "http
// halves" or "https halves", and asks by POST. It is [Timed].
func Halves(target HTTP, hold time.Duration) Lane {
	lane := newHTTPLane("halves", http.MethodPost, target)
	lane.once = true
	return &timed[*httpClient]{lane, newHold(hold), lane.client, halves}
}

func halves(c *httpClient, seq int64, deadline time.Time, wait func()) (r Result) {
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
		wait()
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
