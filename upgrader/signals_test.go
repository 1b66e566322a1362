//go:build unix

package upgrader_test

import (
	"bufio"
	"net"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/upgrader"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestHUPsDuringAnUpgradeMeanOneMore(t *testing.T) {
	s := startService(t, settings{Probation: 500 * time.Millisecond})
	s.awaitPhase(0, 1, "serving")
	pid, from := s.pid(), s.since()
	s.signal(pid, syscall.SIGHUP)
	s.awaitPhase(from, 1, "probation")
	for range 20 {
		s.signal(pid, syscall.SIGHUP)
	}
	s.awaitPhase(from, 3, "serving")
	s.awaitPhase(from, 2, "exited")
	if s.pid() == pid {
		t.Error("the pid file names the first generation")
	}
	// Nothing more is on its way: an upgrade that is asked for now is the next one.
	s.upgrade(4)
}

func TestSignalsThatReachAnOldGenerationArePassedOn(t *testing.T) {
	s := startService(t, settings{Probation: upgrader.NoProbation})
	addr := s.address("web")
	s.awaitPhase(0, 1, "serving")
	first := s.pid()
	c, err := net.Dial("tcp", addr) // keeps the first generation alive
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := s.begin(c)
	s.upgrade(2)

	s.signal(first, syscall.SIGHUP) // to a child
	s.awaitPhase(0, 3, "serving")
	s.awaitPhase(0, 2, "exited")
	s.signal(first, syscall.SIGHUP) // to a grandchild, whose parent has gone
	s.awaitPhase(0, 4, "serving")

	s.signal(first, syscall.SIGUSR1)
	s.awaitMsg(0, "maintenance mode")
	s.await(0, "generation 4 in maintenance mode", func(l logLine) bool {
		return l.Msg == "maintenance mode" && l.Generation == 4
	})

	last := s.pid()
	s.signal(first, syscall.SIGTERM)
	s.awaitPhase(0, 4, "stopping")
	s.awaitPhase(0, 4, "exited")
	// What reached the old one was no stop of its own.
	if a := s.finish(c, r); a.generation != 1 || a.status != 200 {
		t.Errorf("the old connection: %+v", a)
	}
	if s.pid() == last {
		t.Error("the pid file is still there after a stop")
	}
}

// A service manager sends TERM to every process of the service; passed on, it must not count twice.
func TestTermToAllIsGraceful(t *testing.T) {
	s := startService(t, settings{Probation: upgrader.NoProbation, Drain: 2 * time.Second})
	addr := s.address("web")
	s.awaitPhase(0, 1, "serving")
	conns := make([]net.Conn, 2)
	readers := make([]*bufio.Reader, 2)
	first := s.pid()
	for i := range conns {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns[i], readers[i] = c, s.begin(c)
		if i == 0 {
			s.upgrade(2)
		}
	}
	second := s.pid()
	s.signal(second, syscall.SIGTERM)
	s.awaitPhase(0, 2, "stopping")
	s.signal(first, syscall.SIGTERM)
	s.awaitMsg(0, "passed on to the generation in charge")
	for i := range conns {
		if a := s.finish(conns[i], readers[i]); a.generation != i+1 || a.status != 200 {
			t.Errorf("connection %d: %+v", i, a)
		}
	}
}

func TestSecondTermForces(t *testing.T) {
	s := startService(t, settings{Drain: time.Hour})
	addr := s.address("web")
	s.awaitPhase(0, 1, "serving")
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	s.signal(s.pid(), syscall.SIGTERM)
	s.awaitPhase(0, 1, "stopping")
	s.signal(s.firstPID(), syscall.SIGINT)
	s.awaitPhase(0, 1, "exited")
	s.awaitMsg(0, "second signal")
	if s.pid() != 0 {
		t.Error("the pid file is still there after a stop")
	}
}

func (s *service) firstPID() int {
	l, _ := s.awaitPhase(0, 1, "serving")
	return l.PID
}

func TestTermInEveryPhaseOfAnUpgrade(t *testing.T) {
	for _, phase := range []string{"starting", "awaiting ready", "probation"} {
		t.Run(phase, func(t *testing.T) {
			s := startService(t, settings{Probation: time.Minute})
			s.awaitPhase(0, 1, "serving")
			pid, from := s.pid(), s.since()
			if phase == "awaiting ready" {
				s.write(s.settings.with(func(n *settings) { n.Fault = "hangs" }))
				t.Cleanup(func() { s.Fault = "" })
			}
			s.signal(pid, syscall.SIGHUP)
			if phase == "awaiting ready" { // a program that never calls New does not get further
				s.awaitPhase(from, 1, "starting")
			} else {
				s.awaitPhase(from, 1, phase)
			}
			s.signal(pid, syscall.SIGTERM)
			s.awaitPhase(from, 1, "exited")
			if s.pid() != 0 {
				t.Error("the pid file is still there after a stop")
			}
		})
	}
}

func TestMaintenanceSurvivesUpgrades(t *testing.T) {
	s := startService(t, settings{Probation: upgrader.NoProbation})
	addr := s.address("web")
	s.awaitPhase(0, 1, "serving")
	status := func() int {
		t.Helper()
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return s.ask(c, bufio.NewReader(c)).status
	}
	if got := status(); got != 200 {
		t.Fatalf("status %d before", got)
	}
	s.signal(s.pid(), syscall.SIGUSR1)
	s.awaitMsg(0, "maintenance mode")
	s.upgrade(2)
	if got := status(); got != 503 {
		t.Errorf("status %d in maintenance mode, want 503", got)
	}
	from := s.since()
	s.signal(s.pid(), syscall.SIGUSR2)
	s.awaitMsg(from, "maintenance mode")
	if got := status(); got != 200 {
		t.Errorf("status %d after maintenance, want 200", got)
	}
}

func TestSignalHooks(t *testing.T) {
	s := startService(t, settings{Probation: upgrader.NoProbation})
	s.awaitPhase(0, 1, "serving")
	s.upgrade(2)
	l, _ := s.awaitMsg(0, "after signal")
	if l.Action != "upgrade" || l.Err != "<nil>" {
		t.Errorf("AfterSignal was told: %s", l.raw)
	}

	s = startService(t, settings{Fault: "vetoes signals"})
	s.awaitPhase(0, 1, "serving")
	s.signal(s.pid(), syscall.SIGHUP)
	l, _ = s.awaitMsg(0, "signal not acted on")
	if l.Generation != 1 {
		t.Error(l.raw)
	}
	_ = syscall.Kill(s.pid(), syscall.SIGKILL) // it does not hear TERM either
}
