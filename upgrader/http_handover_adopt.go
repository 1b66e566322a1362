package upgrader

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// given is a listener of connections that somebody gives it.
type given struct {
	addr  net.Addr
	conns chan net.Conn
	ended chan struct{}
	once  sync.Once
}

func newGiven(addr net.Addr) *given {
	return &given{addr: addr, conns: make(chan net.Conn), ended: make(chan struct{})}
}

func (g *given) Accept() (net.Conn, error) {
	select {
	case c := <-g.conns:
		return c, nil
	case <-g.ended:
		return nil, net.ErrClosed
	}
}

func (g *given) Addr() net.Addr { return g.addr }

func (g *given) Close() error {
	g.once.Do(func() { close(g.ended) })
	return nil
}

// adopted is a listener of the connections that come from the parent.
type adopted struct {
	*given
	ln *NamedListener
	h  *httpServer
}

// adopt has srv serve what the parent sends for ln, until the returned function is called.
func (s *httpServers) adopt(ln *NamedListener, h *httpServer) (stop func()) {
	a := &adopted{given: newGiven(ln.Addr()), ln: ln, h: h}
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

// adopterWait is how long connections wait for a program that has said that it is ready to call Serve.
const adopterWait = time.Second

// adopter returns what takes in connections of a listener, or nil. It waits for it, but only while the program is new:
// a thousand connections wait no longer than one.
func (s *httpServers) adopter(f *Fds, listener string) *adopted {
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for {
		s.mu.Lock()
		if s.firstWait.IsZero() {
			s.firstWait = time.Now()
		}
		a, until := s.adopters[listener], s.firstWait.Add(adopterWait)
		s.mu.Unlock()
		if a != nil || !f.has(listener) || time.Now().After(until) {
			return a
		}
		<-poll.C
	}
}

// receive takes in a connection from the parent.
func (s *httpServers) receive(f *Fds, p Parcel) error {
	j, err := parseJourney(p)
	if err != nil {
		return err
	}
	if !waitsAsAssumed() {
		return errors.New("this Go release's net/http is not known well enough")
	}
	a := s.adopter(f, j.Listener)
	if a == nil {
		return fmt.Errorf("nobody serves listener %q", j.Listener)
	}
	nc, err := net.FileConn(p.Files[0])
	if err != nil {
		return err
	}
	if nc.RemoteAddr() == nil { // the client has reset it meanwhile, and programs take it for granted that there is one
		nc.Close()
		p.Files[0].Close()
		return nil
	}
	a.ln.setKeepAlive(nc)
	tracked := a.ln.conns.track(nc)
	c := newMovable(tracked, a.h, j.Listener, j.adoption(time.Now()))
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

func parseJourney(p Parcel) (httpJourney, error) {
	var j httpJourney
	if err := json.Unmarshal(p.Data, &j); err != nil {
		return j, fmt.Errorf("an HTTP connection: %w", err)
	}
	if len(p.Files) != 1 {
		return j, fmt.Errorf("an HTTP connection with %d files", len(p.Files))
	}
	return j, nil
}

func (j httpJourney) adoption(now time.Time) *adoption {
	a := &adoption{since: now, served: j.Served}
	if j.Served {
		a.newlines = 4
	}
	if j.Idle > 0 {
		a.until = now.Add(j.Idle)
	}
	return a
}
