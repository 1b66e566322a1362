package bench

import (
	"context"
	"net/http"
	"time"
)

// Idle is the lane of clients that ask, leave their connection idle for a while (DefaultHold if hold is 0) or throughout
// an upgrade, and ask again. It is called "http idle" or "https idle". It is [Timed].
//
// A server may close an idle HTTP connection. A client that sees it asks on a new one, and nothing is lost
// (Result.Renewed). A close that crosses the second request is a loss.
func Idle(target HTTP, hold time.Duration) Lane {
	lane := newHTTPLane("idle", http.MethodGet, target)
	client := func(ctx context.Context, id int) *keepAliveClient {
		return &keepAliveClient{httpClient: lane.resumingClient(ctx, id)}
	}
	return &timed[*keepAliveClient]{lane, newHold(hold), client, idle}
}

func idle(c *keepAliveClient, seq int64, deadline time.Time, wait func()) (r Result) {
	c.renew = false
	defer c.Close()
	for turn := range int64(2) {
		if err := c.ready(&r, deadline); err != nil {
			return r.over(err)
		}
		c.compose(2*seq + turn)
		got, err := c.exchange(c.on)
		if err != nil {
			c.forget()
			return r.over(err)
		}
		c.keep(got)
		if c.settle(&r, got); r.Class != OK {
			return r
		}
		if turn == 0 {
			wait()
		}
	}
	return r
}

// IdleTCP is Idle for an echo server at addr (host:port). Raw TCP has no polite close: each is a loss. It is called
// "tcp idle".
func IdleTCP(addr string, hold time.Duration) Lane {
	lane := &echoLane{name: "tcp idle", addr: addr}
	client := func(ctx context.Context, id int) *longTCPClient {
		return &longTCPClient{echoClient: lane.client(ctx, id)}
	}
	return &timed[*longTCPClient]{lane, newHold(hold), client, idleTCP}
}

func idleTCP(c *longTCPClient, seq int64, deadline time.Time, wait func()) (r Result) {
	defer c.Close()
	r = c.Do(2*seq, deadline)
	if r.Class != OK {
		return r
	}
	wait()
	second := c.Do(2*seq+1, deadline)
	second.Opened = r.Opened
	return second
}
