package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// streamsPerConn is how many clients of an HTTP/2 lane share a connection, and so how many streams it has at once.
const streamsPerConn = 10

// HTTP2 is the lane of HTTP/2 streams, ten at a time on each connection: POSTs whose echo is compared, if the server
// echoes. With TLS it is called "https h2"; without, it begins with prior knowledge and is called "http h2c".
//
// What becomes of a stream is told apart: refused by the server, which may be sent again elsewhere (Result.Refused);
// reset; cut off after a GOAWAY that had promised to finish it; or lost with its connection, as in HTTP/1.1. A GOAWAY or
// a close that was seen before the stream was opened loses nothing (Result.Renewed).
func HTTP2(target HTTP) Lane {
	kind := "h2c"
	if target.TLS != nil {
		kind = "h2"
		target.TLS = target.TLS.Clone()
		target.TLS.NextProtos = []string{"h2"}
	}
	return &h2Lane{httpLane: newHTTPLane(kind, http.MethodPost, target)}
}

type h2Lane struct {
	*httpLane
	mu     sync.Mutex
	shared map[int]*h2Shared
}

func (*h2Lane) Persistent() bool { return true }

func (l *h2Lane) Probe(ctx context.Context) (string, error) {
	if err := l.locate(ctx); err != nil {
		return "", err
	}
	return l.learn(l.probeOnce, ctx)
}

func (l *h2Lane) probeOnce(ctx context.Context, id int) (probed, error) {
	c := l.newClient(ctx, id, &h2Shared{lane: l, dialer: l.dialer, users: 1})
	defer c.Close()
	var r Result
	got, err := c.ask(&r, 0, time.Now().Add(probeTimeout))
	if err != nil {
		return probed{}, l.httpLane.unanswered(err)
	}
	return c.probed(got)
}

// Client returns a client that shares its connection with its neighbours.
func (l *h2Lane) Client(ctx context.Context, id int) Client {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shared == nil {
		l.shared = map[int]*h2Shared{}
	}
	s := l.shared[id/streamsPerConn]
	if s == nil {
		s = &h2Shared{lane: l, dialer: l.dialer.resuming()}
		l.shared[id/streamsPerConn] = s
	}
	s.users++
	return l.newClient(ctx, id, s)
}

func (l *h2Lane) newClient(ctx context.Context, id int, s *h2Shared) *h2Client {
	return &h2Client{httpClient: l.client(ctx, id), shared: s, fields: l.fields()}
}

// h2Shared is a connection that several clients use, and the next one once that has ended.
type h2Shared struct {
	lane   *h2Lane
	dialer dialer

	mu      sync.Mutex
	users   int
	on      *h2Conn
	renew   bool // the one before ended with nothing lost
	opening *h2Opening
}

// h2Opening is a connection that is being opened, for all who wait for it.
type h2Opening struct {
	done chan struct{}
	on   *h2Conn
	err  error
}

// take returns a connection on which a stream may be opened. The error is a *lossError.
func (s *h2Shared) take(ctx context.Context, r *Result, deadline time.Time) (*h2Conn, error) {
	s.mu.Lock()
	if s.on != nil {
		if s.on.open() {
			defer s.mu.Unlock()
			return s.on, nil
		}
		s.on, s.renew = nil, s.on.spotless()
	}
	if o := s.opening; o != nil {
		s.mu.Unlock()
		select {
		case <-o.done:
			return o.on, o.err
		case <-time.After(time.Until(deadline)):
			return nil, &lossError{Failure: Failure{ConnectTimeout, "timeout"}, cause: errors.New("no connection in time")}
		case <-ctx.Done():
			return nil, classify(phaseConnect, ctx.Err())
		}
	}
	o := &h2Opening{done: make(chan struct{})}
	s.opening = o
	renewing := s.renew
	s.renew = false
	s.mu.Unlock()

	on, err := s.dialer.dial(ctx, deadline)
	if err == nil {
		r.opened(on)
		r.Renewed = renewing
		o.on, err = s.begin(on)
	}
	o.err = err
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opening, s.on = nil, o.on
	close(o.done)
	return o.on, o.err
}

// begin takes ownership of the connection.
func (s *h2Shared) begin(on *conn) (*h2Conn, error) {
	if _, secure := on.Conn.(*tls.Conn); secure && on.protocol != "h2" {
		on.drop()
		return nil, &lossError{
			Failure: Failure{HandshakeFailed, "no h2"},
			cause:   errors.New("the server does not agree to HTTP/2 by ALPN"),
		}
	}
	return newH2Conn(on, s.lane)
}

// leave ends the connection when its last user is gone.
func (s *h2Shared) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users--
	if s.users == 0 && s.on != nil {
		s.on.close()
		s.on = nil
	}
}

type h2Client struct {
	*httpClient
	shared *h2Shared
	fields [][2]string // of every request
	left   bool

	beforeOpen func(*h2Conn) // for tests: between the look at the connection and the stream's first frame
}

// Tap implements Tapped. All who share the connection bring the same look.
func (c *h2Client) Tap(look func(syscall.RawConn)) {
	c.shared.mu.Lock()
	defer c.shared.mu.Unlock()
	c.shared.dialer.tap = look
}

func (c *h2Client) Do(seq int64, deadline time.Time) (r Result) {
	got, err := c.ask(&r, seq, deadline)
	if err != nil {
		return r.over(err)
	}
	return c.settle(&r, got)
}

// ask sends operation seq's request on a stream of its own, and waits for the answer. The error is a *lossError.
func (c *h2Client) ask(r *Result, seq int64, deadline time.Time) (httpAnswer, error) {
	for range 2 {
		on, err := c.shared.take(c.ctx, r, deadline)
		if err != nil {
			return httpAnswer{}, err
		}
		r.Dialled = on.wire.dialled
		if c.beforeOpen != nil {
			c.beforeOpen(on)
		}
		c.prepare(seq)
		s, err := on.start(c, deadline)
		if err == errH2Closing {
			continue // it closed between the look and the stream: nothing was sent
		}
		if err != nil {
			return httpAnswer{}, err
		}
		return on.finish(c.ctx, s, deadline)
	}
	return httpAnswer{}, cut(errors.New("two connections in a row closed before a stream could be opened"))
}

func (c *h2Client) Close() {
	if !c.left {
		c.left = true
		c.shared.leave()
	}
}
