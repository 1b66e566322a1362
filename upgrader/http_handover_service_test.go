//go:build unix

package upgrader_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/upgrader"
)

// diesAfter is how many connections a child takes in before it kills itself.
const diesAfter = 20

// fewFiles is how many descriptors a child with few files has.
const fewFiles = 80

// spoilHandover makes what a child does with the connections that it is sent go wrong.
func (s settings) spoilHandover(u *upgrader.Upgrader, srv *http.Server) {
	switch s.Fault {
	case "dies handing over":
		var taken atomic.Int64
		srv.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew && u.HasParent() && taken.Add(1) > diesAfter { // it may be acked just now
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		}
	case "few files":
		var limit syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err == nil && u.HasParent() {
			limit.Cur = fewFiles
			_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
		}
	}
}

// client is a keep-alive connection.
type client struct {
	net.Conn
	r *bufio.Reader
}

func dialMany(t *testing.T, addr string, n int) []client {
	t.Helper()
	conns := make([]client, n)
	for i := range conns {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		conns[i] = client{c, bufio.NewReader(c)}
	}
	return conns
}

// lost sends a request on each, and returns how many got no answer, and how many got one from which generation.
func (s *service) lost(conns []client) (int, map[int]int) {
	s.t.Helper()
	lost, by := 0, make(map[int]int)
	for _, c := range conns {
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello"); err != nil {
			lost++
			continue
		}
		if _, err := c.r.Peek(1); err != nil {
			lost++
			continue
		}
		by[s.response(c.r).generation]++
	}
	return lost, by
}

// Clients that keep their connections never have to reconnect, whatever they are doing at an upgrade.
func TestThirtyUpgradesWithoutReconnect(t *testing.T) {
	t.Parallel()
	const clients, upgrades = 8, 30
	s := startService(t, settings{Probation: upgrader.NoProbation, Max: 2 * upgrades}) // each lives on for a moment
	s.awaitPhase(0, 1, "serving")
	addr := s.address("web")
	quit, done := make(chan struct{}), make(chan error, clients)
	for range clients {
		dialed := 0
		p := &poster{dial: func() (net.Conn, error) {
			if dialed++; dialed > 1 {
				return nil, fmt.Errorf("had to reconnect")
			}
			return net.Dial("tcp", addr)
		}}
		go func() {
			for n := 0; ; n++ {
				select {
				case <-quit:
					p.c.Close()
					done <- nil
					return
				default:
				}
				if err := p.post(n); err != nil {
					done <- fmt.Errorf("request %d: %w", n, err)
					return
				}
			}
		}()
	}
	idle := dialMany(t, addr, 20)
	if lost, _ := s.lost(idle); lost > 0 {
		t.Fatalf("%d lost before any upgrade", lost)
	}
	silent := dialMany(t, addr, 20) // which never speak until the end
	for generation := 2; generation < 2+upgrades; generation++ {
		s.upgrade(generation)
	}
	close(quit)
	for range clients {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	for generation := 1; generation <= upgrades; generation++ {
		s.awaitPhase(0, generation, "exited")
	}
	for name, conns := range map[string][]client{"idle": idle, "silent": silent} {
		if lost, by := s.lost(conns); lost > 0 || by[upgrades+1] != len(conns) {
			t.Errorf("%s: %d lost, answered by %v", name, lost, by)
		}
	}
}

func TestThousandsOfIdleConnectionsMove(t *testing.T) {
	t.Parallel()
	s := startService(t, settings{Probation: upgrader.NoProbation})
	s.awaitPhase(0, 1, "serving")
	conns := dialMany(t, s.address("web"), 2000)
	if lost, _ := s.lost(conns[:1000]); lost > 0 { // and the others have not spoken
		t.Fatalf("%d lost", lost)
	}
	for generation := 2; generation < 5; generation++ {
		s.upgrade(generation)
		s.awaitPhase(0, generation-1, "exited")
	}
	if lost, by := s.lost(conns); lost > 0 || by[4] != len(conns) {
		t.Errorf("%d lost, answered by %v", lost, by)
	}
}

// A child that dies in the middle of handing over takes along what it had taken in, and nothing else.
func TestChildDiesWhileHandingOver(t *testing.T) {
	t.Parallel()
	s := startService(t, settings{Probation: upgrader.NoProbation})
	s.awaitPhase(0, 1, "serving")
	addr := s.address("web")
	conns := dialMany(t, addr, 300)
	if lost, _ := s.lost(conns); lost > 0 {
		t.Fatalf("%d lost", lost)
	}
	bad := s.settings
	bad.Fault = "dies handing over"
	s.write(bad)
	s.refused()
	if got := s.get(addr); got != 1 {
		t.Errorf("generation %d accepts", got)
	}
	lost, by := s.lost(conns)
	if lost > diesAfter+1 || by[1] != len(conns)-lost {
		t.Errorf("%d lost, answered by %v; the child had taken in %d", lost, by, diesAfter)
	}
	s.write(s.settings)
	s.upgrade(2)
	s.awaitPhase(0, 1, "exited")
	if again, by := s.lost(conns); again != lost || by[2] != len(conns)-lost { // what was refused then moves now
		t.Errorf("after the next upgrade: %d lost, answered by %v", again, by)
	}
}

// What a child has no descriptors for stays, and is told at its next response to come again.
func TestChildWithoutRoom(t *testing.T) {
	t.Parallel()
	s := startService(t, settings{Probation: upgrader.NoProbation})
	s.awaitPhase(0, 1, "serving")
	conns := dialMany(t, s.address("web"), 200)
	if lost, _ := s.lost(conns); lost > 0 {
		t.Fatalf("%d lost", lost)
	}
	bad := s.settings
	bad.Fault = "few files"
	s.write(bad)
	s.upgrade(2)
	s.awaitPhase(0, 1, "draining")
	lost, by := s.lost(conns)
	if lost > 0 || by[1]+by[2] != len(conns) || by[1] == 0 || by[2] == 0 {
		t.Errorf("%d lost, answered by %v", lost, by)
	}
	s.awaitPhase(0, 1, "exited") // the channel between the two works still
	if phase := s.Phase(2); phase != "serving" {
		t.Errorf("the child is %s", phase)
	}
}

// A child that claims a listener and never serves it keeps nobody waiting for long.
func TestChildNeverServes(t *testing.T) {
	t.Parallel()
	s := startService(t, settings{Probation: upgrader.NoProbation})
	s.awaitPhase(0, 1, "serving")
	conns := dialMany(t, s.address("web"), 50)
	bad := s.settings
	bad.Fault = "serves nothing"
	s.write(bad)
	s.upgrade(2)
	s.awaitPhase(0, 1, "draining")
	for _, c := range conns {
		if a := s.ask(c, c.r); a.generation != 1 || !a.closes {
			t.Fatalf("%+v", a)
		}
		c.Close()
	}
	s.awaitPhase(0, 1, "exited")
}
