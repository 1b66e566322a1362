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
	return idle{newHTTPLane("idle", http.MethodGet, target), newHold(hold)}
}

// IdleTCP is Idle for an echo server at addr (host:port). Raw TCP has no polite close: each is a loss. It is called
// "tcp idle".
func IdleTCP(addr string, hold time.Duration) Lane {
	return idleTCP{&echoLane{name: "tcp idle", addr: addr}, newHold(hold)}
}

type idle struct {
	*httpLane
	*hold
}

func (idle) Persistent() bool { return false }

func (l idle) Client(ctx context.Context, id int) Client {
	return &idleClient{keepAliveClient{httpClient: l.resumingClient(ctx, id)}, waits{hold: l.hold}}
}

// idleClient is a client that keeps its connection, for two requests.
type idleClient struct {
	keepAliveClient
	waits
}

func (c *idleClient) Do(seq int64, deadline time.Time) (r Result) {
	c.begin()
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
			c.wait(c.ctx, deadline)
		}
	}
	return r
}

type idleTCP struct {
	*echoLane
	*hold
}

func (idleTCP) Persistent() bool { return false }

func (l idleTCP) Client(ctx context.Context, id int) Client {
	return &idleTCPClient{longTCPClient{echoClient: l.client(ctx, id)}, waits{hold: l.hold}}
}

type idleTCPClient struct {
	longTCPClient
	waits
}

func (c *idleTCPClient) Do(seq int64, deadline time.Time) (r Result) {
	c.begin()
	defer c.Close()
	r = c.longTCPClient.Do(2*seq, deadline)
	if r.Class != OK {
		return r
	}
	c.wait(c.ctx, deadline)
	second := c.longTCPClient.Do(2*seq+1, deadline)
	second.Opened = r.Opened
	return second
}
