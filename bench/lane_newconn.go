package bench

import (
	"context"
	"net/http"
	"time"
)

// NewConnections is the lane that opens a connection for each GET and closes it afterwards. It is called "http new",
// or "https new" if the target has TLS; the handshake is always a full one.
func NewConnections(target HTTP) Lane {
	lane := newHTTPLane("new", http.MethodGet, target)
	lane.once = true
	return newConnections{lane}
}

// NewResumed is NewConnections whose clients offer to resume the TLS session of the connection before, as browsers do.
// It is called "https new resumed". A server that has forgotten its ticket keys loses nothing here: it shakes hands in
// full, and LaneReport.HandshakesFull counts that.
func NewResumed(target HTTP) Lane {
	lane := newHTTPLane("new resumed", http.MethodGet, target)
	lane.once = true
	return &newResumed{newConnections: newConnections{lane}}
}

type newConnections struct{ *httpLane }

func (newConnections) Persistent() bool { return false }

func (l newConnections) Client(ctx context.Context, id int) Client {
	return &newConnClient{l.client(ctx, id)}
}

// newResumed has one session cache for all its clients, or the first connection of each would be a full handshake.
type newResumed struct {
	newConnections
	resuming dialer
}

func (l *newResumed) Probe(ctx context.Context) (string, error) {
	generation, err := l.newConnections.Probe(ctx)
	l.resuming = l.dialer.resuming()
	return generation, err
}

func (l *newResumed) Client(ctx context.Context, id int) Client {
	c := &newConnClient{l.client(ctx, id)}
	c.dialer = l.resuming
	return c
}

type newConnClient struct{ *httpClient }

func (c *newConnClient) Do(seq int64, deadline time.Time) (r Result) {
	on, err := c.dialer.dial(c.ctx, deadline)
	if err != nil {
		return r.over(err)
	}
	r.opened(on)
	c.compose(seq)
	got, err := c.exchange(on)
	if err != nil {
		on.drop()
		return r.over(err)
	}
	on.close()
	return c.settle(&r, got)
}

func (c *newConnClient) Close() {}

// opened notes the connection that was opened for the operation.
func (r *Result) opened(on *conn) {
	r.Opened++
	r.Dialled, r.Resumed = on.dialled, on.resumed
}
