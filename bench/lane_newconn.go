package bench

import (
	"context"
	"net/http"
	"time"
)

// NewConnections is the lane that opens a connection for each GET and closes it afterwards. It is called "http new",
// or "https new" if the target has TLS; the handshake is always a full one.
func NewConnections(target HTTP) Lane {
	return newConnections{&httpLane{name: target.scheme() + " new", method: http.MethodGet, target: target.withDefaults()}}
}

type newConnections struct{ *httpLane }

func (newConnections) Persistent() bool { return false }

func (l newConnections) Client(ctx context.Context, id int) Client {
	return &newConnClient{l.client(ctx, id)}
}

type newConnClient struct{ *httpClient }

func (c *newConnClient) Do(seq int64, deadline time.Time) (r Result) {
	on, err := c.lane.dialer.dial(c.ctx, deadline)
	if err != nil {
		return r.end(err)
	}
	r.Opened, r.Dialled = 1, on.dialled
	c.compose(seq)
	got, err := c.exchange(on)
	if err != nil {
		on.drop()
		return r.end(err)
	}
	on.close()
	r.Generation = got.generation
	return r.end(c.judge(got))
}

func (c *newConnClient) Close() {}
