package upgrader

import (
	"context"
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

// connKey is where a request's context has its connection, if that can move.
type connKey struct{}

// watchConns has srv tell its connections of their state, and requests of their connection.
func watchConns(srv *http.Server) {
	state, connContext := srv.ConnState, srv.ConnContext
	srv.ConnState = func(c net.Conn, s http.ConnState) {
		if m, ok := c.(*movableConn); ok {
			m.setState(s)
		}
		if state != nil {
			state(c, s)
		}
	}
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if m, ok := c.(*movableConn); ok {
			ctx = context.WithValue(ctx, connKey{}, m)
		}
		if connContext != nil {
			ctx = connContext(ctx, c)
		}
		return ctx
	}
}
