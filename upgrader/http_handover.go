package upgrader

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	defer h.u.parcels.slot()() // before there is a descriptor more for each of very many connections
	file, err := dupConn(c, "connection")
	if err != nil {
		return err
	}
	defer file.Close()
	data, err := json.Marshal(j)
	if err != nil {
		return err
	}
	parcel := Parcel{Kind: kindHTTP, Data: data, Files: []*os.File{file}}
	err = h.u.sendParcel(parcel)
	if errors.Is(err, ErrReceiverGone) { // it may have been replaced itself a moment ago
		err = h.u.sendParcel(parcel)
	}
	return err
}

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

// handOver moves every connection that is idle now; the others follow when they are.
func (h *httpServer) handOver() {
	h.moving.Store(true)
	h.mu.Lock()
	conns := make([]*movableConn, 0, len(h.conns))
	for c := range h.conns {
		conns = append(conns, c)
	}
	h.mu.Unlock()
	var moving []<-chan struct{}
	for _, c := range conns {
		c.mayMove() // an earlier upgrade may have been rolled back
		if done := c.nudge(); done != nil {
			moving = append(moving, done)
		}
	}
	for _, done := range moving {
		<-done
	}
}

func (s *httpServers) each(do func(*httpServer)) {
	s.mu.Lock()
	all := make([]*httpServer, 0, len(s.all))
	for _, h := range s.all {
		all = append(all, h)
	}
	s.mu.Unlock()
	var running sync.WaitGroup
	for _, h := range all {
		running.Go(func() { do(h) })
	}
	running.Wait()
}

func (s *httpServers) handOver() { s.each((*httpServer).handOver) }

// takeBack lets connections stay, after a rollback.
func (s *httpServers) takeBack() {
	s.each(func(h *httpServer) { h.moving.Store(false) })
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

// adopted is a listener of the connections that come from the parent.
type adopted struct {
	ln    *NamedListener
	h     *httpServer
	conns chan net.Conn
	ended chan struct{}
	once  sync.Once
}

func (a *adopted) Accept() (net.Conn, error) {
	select {
	case c := <-a.conns:
		return c, nil
	case <-a.ended:
		return nil, net.ErrClosed
	}
}

func (a *adopted) Addr() net.Addr { return a.ln.Addr() }

func (a *adopted) Close() error {
	a.once.Do(func() { close(a.ended) })
	return nil
}

// adopt has srv serve what the parent sends for ln, until the returned function is called.
func (s *httpServers) adopt(ln *NamedListener, h *httpServer) (stop func()) {
	a := &adopted{ln: ln, h: h, conns: make(chan net.Conn), ended: make(chan struct{})}
	s.mu.Lock()
	if s.adopters == nil {
		s.adopters = make(map[string]*adopted)
	}
	s.adopters[ln.Name()] = a
	s.mu.Unlock()
	go func() { _ = h.srv.Serve(a) }()
	return func() {
		s.mu.Lock()
		if s.adopters[ln.Name()] == a {
			delete(s.adopters, ln.Name())
		}
		s.mu.Unlock()
		a.Close()
	}
}

// adopterWait is how long a parcel waits for a program that has said that it is ready to call Serve.
const adopterWait = 2 * time.Second

func (s *httpServers) adopter(f *Fds, listener string) *adopted {
	for deadline := time.Now().Add(adopterWait); ; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		a := s.adopters[listener]
		s.mu.Unlock()
		if a != nil || !f.has(listener) || time.Now().After(deadline) {
			return a
		}
	}
}

// receive takes in a connection from the parent.
func (s *httpServers) receive(f *Fds, p Parcel) error {
	var j httpJourney
	if err := json.Unmarshal(p.Data, &j); err != nil || len(p.Files) != 1 {
		return fmt.Errorf("an HTTP connection with %d files, %w", len(p.Files), err)
	}
	a := s.adopter(f, j.Listener)
	if a == nil {
		return fmt.Errorf("nobody serves listener %q", j.Listener)
	}
	nc, err := net.FileConn(p.Files[0])
	if err != nil {
		return err
	}
	a.ln.setKeepAlive(nc)
	tracked := a.ln.conns.track(nc)
	now := time.Now()
	life := &adoption{since: now}
	if j.Served {
		life.newlines = 4
	}
	if j.Idle > 0 {
		life.until = now.Add(j.Idle)
	}
	c := newMovable(tracked, a.h, j.Listener, life)
	select {
	case a.conns <- c:
		p.Files[0].Close()
		return nil
	case <-a.ended:
		a.h.forget(c)
		_ = tracked.abort()
		return fmt.Errorf("listener %q is not served any more", j.Listener)
	}
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
