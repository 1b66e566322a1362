package upgrader

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/nettest"
)

// A generation that does not serve the listener refuses: the connections stay, are served, and move when they can.
func TestRefusedConnectionsStay(t *testing.T) {
	t.Parallel()
	r := newRing(t, func(generation int) *http.Server {
		if generation == 1 {
			return nil
		}
		return &http.Server{Handler: tellGeneration(generation)}
	})
	var conns []net.Conn
	for range 200 {
		conns = append(conns, r.dial())
	}
	for _, c := range conns[:100] {
		ask(t, c, bufio.NewReader(c))
	}
	begin := time.Now()
	r.flip()
	if took := time.Since(begin); took > adopterWait+5*time.Second {
		t.Errorf("they waited one after the other: %v", took)
	}
	for _, c := range conns {
		if got := ask(t, c, bufio.NewReader(c)); got != 0 {
			t.Errorf("generation %d", got)
		}
		r.rest(c)
	}
	r.flip() // and back: the first generation is in charge again
	g := r.gens[1]
	srv := &http.Server{Handler: tellGeneration(1)}
	g.u.Go(func() error { return g.u.Serve(srv, g.ln) })
	for {
		g.u.servers.mu.Lock()
		serves := g.u.servers.adopters["web"] != nil
		g.u.servers.mu.Unlock()
		if serves {
			break
		}
		time.Sleep(time.Millisecond)
	}
	r.flip()
	for _, c := range conns {
		if got := ask(t, c, bufio.NewReader(c)); got != 1 { // the idle ones had been refused, and wait in a Read
			t.Fatalf("generation %d after the refusal", got)
		}
	}
}

// A program can tell a connection that has come from the parent from a new one.
func TestConnStateTellsWhatWasAdopted(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	adopted := make(map[int][]bool)
	r := newRing(t, func(generation int) *http.Server {
		return &http.Server{Handler: tellGeneration(generation), ConnState: func(c net.Conn, s http.ConnState) {
			if s == http.StateNew {
				mu.Lock()
				defer mu.Unlock()
				adopted[generation] = append(adopted[generation], c.(interface{ Adopted() bool }).Adopted())
			}
		}}
	})
	c := r.dial()
	b := bufio.NewReader(c)
	ask(t, c, b)
	r.rest(c)
	r.flip()
	if got := ask(t, c, b); got != 1 {
		t.Fatalf("generation %d", got)
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(adopted[0], []bool{false}) || !slices.Equal(adopted[1], []bool{true}) {
		t.Errorf("%v", adopted)
	}
}

// Close while nobody knows whose the connection is must not end it for the one who gets it.
func TestCloseWhileSending(t *testing.T) {
	t.Parallel()
	var sent *movableConn
	reached, goOn := make(chan struct{}), make(chan struct{})
	r := newRing(t, func(generation int) *http.Server {
		return &http.Server{Handler: tellGeneration(generation), ConnState: func(c net.Conn, s http.ConnState) {
			switch {
			case generation == 0 && s == http.StateNew:
				sent = c.(*movableConn)
			case generation == 1 && s == http.StateNew: // taken in, and not acked
				close(reached)
				<-goOn
			}
		}}
	})
	c := r.dial()
	b := bufio.NewReader(c)
	ask(t, c, b)
	r.rest(c)
	flipped := make(chan struct{})
	go func() {
		defer close(flipped)
		r.flip()
	}()
	<-reached
	sent.tracker.lingerAfter(closedChannel) // as at the end of a drain, when http.Server.Close is called
	if err := sent.Close(); err != nil {
		t.Error(err)
	}
	written := make(chan error)
	go func() {
		_, err := sent.Write([]byte("x"))
		written <- err
	}()
	close(goOn)
	<-flipped
	if err := <-written; !errors.Is(err, net.ErrClosed) {
		t.Errorf("wrote to a connection that was on its way: %v", err)
	}
	if sent.CloseWrite() == nil || sent.CloseRead() == nil {
		t.Error("shut down a connection that has moved")
	}
	if got := ask(t, c, b); got != 1 {
		t.Errorf("generation %d", got)
	}
}

var closedChannel = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// What is not HTTP: movableConn is a net.Conn like any other, also while somebody wants it to move and cannot have it.
func TestMovableConnIsANetConn(t *testing.T) {
	t.Parallel()
	for _, nudged := range []bool{false, true} {
		t.Run(fmt.Sprintf("nudged %v", nudged), func(t *testing.T) {
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				ln, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					return nil, nil, nil, err
				}
				defer ln.Close()
				if c2, err = net.Dial("tcp", ln.Addr().String()); err != nil {
					return nil, nil, nil, err
				}
				accepted, err := ln.Accept()
				if err != nil {
					return nil, nil, nil, err
				}
				h := &httpServer{u: &Upgrader{}, conns: make(map[*movableConn]bool)}
				h.u.parcels.init(nil, nil)
				m := newMovable(new(tracker).track(accepted), h, "web", nil)
				quit := make(chan struct{})
				var nudging sync.WaitGroup
				if nudged {
					h.u.parcels.leave() // to nobody
					nudging.Go(func() {
						for tick := time.NewTicker(100 * time.Microsecond); ; {
							select {
							case <-quit:
								tick.Stop()
								return
							case <-tick.C:
								m.mayMove()
								m.nudge()
							}
						}
					})
				}
				return m, c2, func() {
					close(quit)
					nudging.Wait()
					m.Close()
					c2.Close()
				}, nil
			})
		})
	}
}
