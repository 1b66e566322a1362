package bench

import (
	"net/http"
	"time"
)

// HalfOpen is the lane of TLS handshakes that stop half-way: the first half of the ClientHello, a while (DefaultHold if
// hold is 0) or an upgrade, and then the rest and a GET. It is called "https half-open". It is [Timed]. The target must
// have TLS.
func HalfOpen(target HTTP, hold time.Duration) Lane {
	lane := newHTTPLane("half-open", http.MethodGet, target)
	lane.once = true
	return &timed[*httpClient]{lane, newHold(hold), lane.client, halfOpen}
}

func halfOpen(c *httpClient, seq int64, deadline time.Time, wait func()) (r Result) {
	on, err := c.dialer.connect(c.ctx, deadline)
	if err != nil {
		return r.over(err)
	}
	defer on.drop()
	r.opened(on)
	hello := &splitFirst{pollConn: on.wire, between: wait}
	if err := c.dialer.secure(on, hello); err != nil {
		return r.over(err)
	}
	r.Resumed = on.resumed
	c.compose(seq)
	got, err := c.exchange(on)
	if err != nil {
		return r.over(err)
	}
	return c.settle(&r, got)
}

// splitFirst writes what is first written to it in two halves.
type splitFirst struct {
	*pollConn
	between func()
	done    bool
}

func (s *splitFirst) Write(p []byte) (int, error) {
	if s.done {
		return s.pollConn.Write(p)
	}
	s.done = true
	n, err := s.pollConn.Write(p[:len(p)/2])
	if err != nil {
		return n, err
	}
	s.between()
	more, err := s.pollConn.Write(p[n:])
	return n + more, err
}
