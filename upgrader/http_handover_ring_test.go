package upgrader

import (
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/upgrader/internal/control"
)

// ring is two generations in one process, each of which is the other's next: connections go back and forth between them
// over real channels, as often as a test likes.
type ring struct {
	t    *testing.T
	gens [2]*ringGeneration
	down [2]*control.Conn // from each to the other
	up   [2]*control.Conn // the same channel's other end, by who has it
	mu   sync.Mutex
	in   int // charge
}

type ringGeneration struct {
	u   *Upgrader
	srv *http.Server
	ln  *NamedListener
}

// newRing makes both generations serve what server returns; nil serves nothing there.
func newRing(t *testing.T, server func(generation int) *http.Server) *ring {
	t.Helper()
	if !waitsAsAssumed() {
		t.Skip("connections do not move with this release of Go")
	}
	r := &ring{t: t}
	for i := range r.gens {
		u, err := newUpgrader(Options{Logger: slog.New(slog.DiscardHandler)}, &inheritance{generation: i + 1})
		if err != nil {
			t.Fatal(err)
		}
		ln, err := u.ListenNamed("web", "tcp", "127.0.0.1:0", HTTP)
		if err != nil {
			t.Fatal(err)
		}
		g := &ringGeneration{u: u, ln: ln, srv: server(i)}
		r.gens[i] = g
		if g.srv != nil {
			u.Go(func() error { return u.Serve(g.srv, ln) })
		}
		if err := u.Ready(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			u.Stop()
			select {
			case <-u.Done():
			case <-time.After(10 * time.Second):
				t.Errorf("generation %d did not end: %d connections are counted", i+1, ln.conns.count())
			}
			u.machine.close()
		})
	}
	for i, g := range r.gens {
		r.down[i], r.up[1-i] = r.link(g.u, r.gens[1-i].u)
	}
	return r
}

// link makes to the generation that from sends to.
func (r *ring) link(from, to *Upgrader) (down, up *control.Conn) {
	r.t.Helper()
	conn, file, err := control.Pair()
	if err != nil {
		r.t.Fatal(err)
	}
	theirs, err := control.New(file)
	if err != nil {
		r.t.Fatal(err)
	}
	from.parcels.hear(conn)
	from.setDown(conn, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			m, err := conn.Receive()
			if err != nil {
				from.parcels.gone(conn)
				return
			}
			from.hearDown(conn, m)
		}
	}()
	go to.listenUp(theirs)
	r.t.Cleanup(func() {
		conn.Close()
		<-ended
	})
	return conn, theirs
}

func noServer(int) *http.Server { return nil }

// flip puts the other generation in charge, and returns which that is.
func (r *ring) flip() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	from, to := r.gens[r.in].u, r.gens[1-r.in].u
	to.parcels.stay()
	from.parcels.leave()
	from.parcels.handOver()
	r.in = 1 - r.in
	return r.in
}

func (r *ring) dial() net.Conn {
	r.t.Helper()
	r.mu.Lock()
	addr := r.gens[r.in].ln.Addr()
	r.mu.Unlock()
	c, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return c
}

func (r *ring) counted() int { return r.gens[0].ln.conns.count() + r.gens[1].ln.conns.count() }

// rest waits until a connection waits for its next request. A client that is quicker may have it begun before.
func (r *ring) rest(c net.Conn) {
	r.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !r.rests(c.LocalAddr().String()); time.Sleep(50 * time.Microsecond) {
		if time.Now().After(deadline) {
			r.t.Fatal("a connection never came to rest")
		}
	}
}

func (r *ring) rests(client string) bool {
	for _, g := range r.gens {
		g.u.servers.mu.Lock()
		h := g.u.servers.all[g.srv]
		g.u.servers.mu.Unlock()
		if h == nil {
			continue
		}
		h.mu.Lock()
		for c := range h.conns {
			c.mu.Lock()
			found := c.waiting && c.RemoteAddr().String() == client
			c.mu.Unlock()
			if found {
				h.mu.Unlock()
				return true
			}
		}
		h.mu.Unlock()
	}
	return false
}
