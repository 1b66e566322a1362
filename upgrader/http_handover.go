package upgrader

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// kindHTTP is the parcel of an HTTP/1 connection that waits for its next request.
const kindHTTP = "baton/http"

// httpJourney goes along with it.
type httpJourney struct {
	Listener string        `json:"listener"`
	Served   bool          `json:"served,omitempty"` // it has had a request
	Idle     time.Duration `json:"idle,omitempty"`   // how long it may still be idle, in nanoseconds; 0 for ever
}

// send moves a connection to the generation in charge. The caller's descriptor stays open.
func (h *httpServer) send(c *TrackedConn, j httpJourney) error {
	data, err := json.Marshal(j)
	if err != nil {
		return err
	}
	defer h.u.parcels.slot()() // before there is a descriptor more for each of very many connections
	file, err := dupConn(c, "connection")
	if err != nil {
		return err
	}
	defer file.Close()
	return h.u.sendParcel(Parcel{Kind: kindHTTP, Data: data, Files: []*os.File{file}})
}

// moving tells whether connections go to the next generation.
func (h *httpServer) moving() bool { return h.u.parcels.leaving.Load() }

func (h *httpServer) remember(c *movableConn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns[c] = true
}

func (h *httpServer) forget(c *movableConn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.conns, c)
}

// handOver moves every connection that is idle now; the others follow when they are. It takes them a few at a time: those
// that wait for their turn are served meanwhile.
func (h *httpServer) handOver() {
	h.mu.Lock()
	conns := make([]*movableConn, 0, len(h.conns))
	for c := range h.conns {
		conns = append(conns, c)
	}
	h.mu.Unlock()
	turns := make(chan struct{}, inFlight)
	var moving sync.WaitGroup
	for _, c := range conns {
		turns <- struct{}{}
		c.mayMove() // an earlier upgrade may have been rolled back
		done := c.nudge()
		if done == nil {
			<-turns
			continue
		}
		moving.Go(func() {
			<-done
			<-turns
		})
	}
	moving.Wait()
}

func (s *httpServers) handOver() {
	s.mu.Lock()
	all := make([]*httpServer, 0, len(s.all))
	for _, h := range s.all {
		all = append(all, h)
	}
	s.mu.Unlock()
	var running sync.WaitGroup
	for _, h := range all {
		running.Go(h.handOver)
	}
	running.Wait()
}

// movables gives net/http connections that can move, as they are accepted.
type movables struct {
	*NamedListener
	h *httpServer
}

func (m movables) Accept() (net.Conn, error) {
	c, err := m.NamedListener.Accept()
	if err != nil {
		return nil, err
	}
	return newMovable(c.(*TrackedConn), m.h, m.Name(), nil), nil
}

// followed gives net/http connections of which is known what has arrived.
type followed struct {
	*acceptor
	tls bool
}

func (f followed) Accept() (net.Conn, error) {
	c, err := f.acceptor.Accept()
	if err != nil {
		return nil, err
	}
	c.(*TrackedConn).inbound = &inbound{tls: f.tls}
	return c, nil
}

// connKey is where a request's context has its connection: a *movableConn if that can move, or else a *TrackedConn.
type connKey struct{}

// connsOf returns what is below a connection of net/http's, if Serve gave it that: a program may serve other listeners
// with the same http.Server.
func connsOf(c net.Conn) (*movableConn, *TrackedConn) {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	switch c := c.(type) {
	case *movableConn:
		return c, c.TrackedConn
	case *TrackedConn:
		if c.inbound != nil {
			return nil, c
		}
	}
	return nil, nil
}

// watchConns has srv tell its connections of their state, and requests of their connection.
func watchConns(srv *http.Server) {
	state, connContext := srv.ConnState, srv.ConnContext
	srv.ConnState = func(c net.Conn, s http.ConnState) {
		movable, tracked := connsOf(c)
		if movable != nil {
			movable.setState(s)
		}
		if tracked != nil {
			tracked.inbound.setState(s)
		}
		if state != nil {
			state(c, s)
		}
	}
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if movable, tracked := connsOf(c); movable != nil {
			ctx = context.WithValue(ctx, connKey{}, movable)
		} else if tracked != nil {
			ctx = context.WithValue(ctx, connKey{}, tracked)
		}
		if connContext != nil {
			ctx = connContext(ctx, c)
		}
		return ctx
	}
}
