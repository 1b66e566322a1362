//go:build unix

package upgrader_test

import (
	"bufio"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/upgrader"
)

// short is a probation that tests can wait for.
const short = 50 * time.Millisecond

func TestUpgradeAgainAndAgain(t *testing.T) {
	for _, probation := range []time.Duration{short, upgrader.NoProbation} {
		t.Run(probation.String(), func(t *testing.T) {
			s := startService(t, settings{Probation: probation})
			addr := s.address("web")
			s.awaitPhase(0, 1, "serving")
			for generation := 1; generation < 6; generation++ {
				if got := s.get(addr); got != generation {
					t.Fatalf("generation %d answers, want %d", got, generation)
				}
				l := s.upgrade(generation + 1)
				if s.pid() != l.PID {
					t.Errorf("the pid file names %d, in charge is %d", s.pid(), l.PID)
				}
				s.awaitPhase(0, generation, "exited") // nobody was connected
			}
			s.signal(s.pid(), syscall.SIGTERM)
			s.awaitPhase(0, 6, "exited")
			if _, err := os.Stat(s.PIDFile); !os.IsNotExist(err) {
				t.Errorf("the pid file is still there after a stop: %v", err)
			}
		})
	}
}

// Every bad version is refused with a reason that an operator can act on, while the old one serves on; then a good one
// is taken.
func TestBadVersionsAreRefused(t *testing.T) {
	s := startService(t, settings{Probation: time.Second})
	addr := s.address("web")
	s.awaitPhase(0, 1, "serving")
	first := s.pid()
	program := filepath.Join(s.dir, "next")
	write := func(text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(program, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		s.install(program)
	}
	quick := s.settings
	for _, bad := range []struct {
		name    string
		install func()
		next    settings
		reasons []string
	}{
		{"missing", func() { os.Remove(s.app) }, quick, []string{"starting", s.app, "no such file or directory"}},
		{"not executable", func() { write("#!/bin/sh\nexit 0\n", 0o644) }, quick, []string{"starting", s.app, "permission denied"}},
		{"garbage", func() { write("\x00\x01garbage", 0o755) }, quick, []string{"starting", s.app, "exec format error"}},
		{"empty", func() { write("", 0o755) }, quick, []string{"starting", s.app, "exec format error"}},
		{"script that fails", func() { write("#!/bin/sh\necho no licence >&2\nexit 7\n", 0o755) }, quick,
			[]string{"starting", "exit status 7", "no licence"}},
		{"script that knows nothing of Baton", func() { write("#!/bin/sh\nexit 0\n", 0o755) }, quick,
			[]string{"starting", "exited with status 0"}},
		{"exits", func() { s.install("") }, quick.with(func(n *settings) { n.Fault = "exits" }),
			[]string{"starting", "exit status 3", "listen tcp :99999: invalid port"}},
		{"port taken", func() { s.install("") }, quick.with(func(n *settings) {
			n.Listeners = []listenerSetting{{"web", "tcp", "127.0.0.1:0"}, {"other", "tcp", addr}}
		}), []string{"awaiting ready", "address already in use", "other"}},
		{"dies when it is ready", func() { s.install("") }, quick.with(func(n *settings) { n.KillAt = "announced" }),
			[]string{"signal: killed"}},
		{"dies on probation", func() { s.install("") }, quick.with(func(n *settings) { n.KillAt = "on probation" }),
			[]string{"probation", "signal: killed"}},
		{"unhealthy", func() { s.install("") }, quick.with(func(n *settings) { n.Fault = "unhealthy" }),
			[]string{"probation", "the database is away"}},
		{"dies at commit", func() { s.install("") }, quick.with(func(n *settings) { n.Fault = "dies at commit" }),
			[]string{"committing", "signal: killed"}},
	} {
		t.Run(bad.name, func(t *testing.T) {
			s.t = t
			bad.install()
			s.write(bad.next)
			reason := s.refused()
			for _, want := range bad.reasons {
				if !strings.Contains(reason, want) {
					t.Errorf("the reason does not say %q: %s", want, reason)
				}
			}
			if s.pid() != first {
				t.Errorf("the pid file names %d, in charge is %d", s.pid(), first)
			}
			if got := s.get(addr); got != 1 {
				t.Errorf("generation %d answers, want 1", got)
			}
		})
	}
	s.t = t
	s.install("")
	s.write(quick)
	s.upgrade(2)
	if got := s.get(addr); got != 2 {
		t.Errorf("generation %d answers, want 2", got)
	}
	if left, _ := filepath.Glob(filepath.Join(s.dir, ".app.pid*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func (s settings) with(change func(*settings)) settings {
	change(&s)
	return s
}

func TestPreflightRefuses(t *testing.T) {
	s := startService(t, settings{Fault: "preflight"})
	s.awaitPhase(0, 1, "serving")
	if reason := s.refused(); !strings.Contains(reason, "preflight: the disk is full") {
		t.Error(reason)
	}
}

func TestHangingVersionsAreRefused(t *testing.T) {
	s := startService(t, settings{Probation: short, Upgrade: 2 * time.Second, Commit: 100 * time.Millisecond})
	addr := s.address("web")
	s.awaitPhase(0, 1, "serving")
	first := s.pid()

	s.write(s.settings.with(func(n *settings) { n.Fault = "hangs" }))
	if reason := s.refused(); !strings.Contains(reason, "was not ready within 2s") {
		t.Error(reason)
	}
	s.write(s.settings.with(func(n *settings) { n.Fault = "hangs at commit" }))
	if reason := s.refused(); !strings.Contains(reason, "signal: killed") || !strings.Contains(reason, "committing") {
		t.Error(reason)
	}
	if s.pid() != first || s.get(addr) != 1 {
		t.Errorf("the pid file names %d, want %d", s.pid(), first)
	}
	s.write(s.settings)
	s.upgrade(2)
}

// Whenever the parent is killed, a child that is ready, or becomes so, is in charge.
func TestKilledParent(t *testing.T) {
	for _, phase := range []string{"awaiting ready", "probation", "committing", "handing over", "draining"} {
		t.Run(phase, func(t *testing.T) {
			s := startService(t, settings{Probation: 300 * time.Millisecond, KillAt: phase})
			addr := s.address("web")
			s.awaitPhase(0, 1, "serving")
			s.write(s.settings.with(func(n *settings) { n.KillAt = "" }))
			l := s.upgrade(2)
			if got := s.get(addr); got != 2 {
				t.Errorf("generation %d answers, want 2", got)
			}
			if s.pid() != l.PID {
				t.Errorf("the pid file names %d, in charge is %d", s.pid(), l.PID)
			}
			s.upgrade(3)
		})
	}
}

// A connection that was accepted by a child which then turned out to be bad is finished by it.
func TestUnhealthyChildFinishesWhatItAccepted(t *testing.T) {
	s := startService(t, settings{Probation: 10 * time.Second})
	addr := s.address("web")
	s.awaitPhase(0, 1, "serving")
	from := s.since()
	s.signal(s.pid(), syscall.SIGHUP)
	s.awaitPhase(from, 2, "on probation")
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	if a := s.ask(c, r); a.generation != 2 {
		t.Fatalf("generation %d answers on probation, want 2", a.generation)
	}
	s.signal(s.childOf(from), syscall.SIGTERM) // it stops, and the parent takes the service back
	s.awaitMsg(from, "upgrade rolled back")
	if a := s.ask(c, r); a.generation != 2 || !a.closes { // nobody to move it to
		t.Errorf("the connection to the child that was refused: %+v", a)
	}
	if got := s.get(addr); got != 1 {
		t.Errorf("generation %d answers, want 1", got)
	}
}

// childOf returns the pid of generation 2.
func (s *service) childOf(from int) int {
	l, _ := s.awaitPhase(from, 2, "announced")
	return l.PID
}

func TestSecondInstanceIsRefused(t *testing.T) {
	s := startService(t, settings{})
	s.awaitPhase(0, 1, "serving")
	from := s.since()
	cmd := s.launch()
	l, _ := s.await(from, "already running", func(l logLine) bool { return strings.Contains(l.raw, "already running") })
	if !strings.Contains(l.raw, "pid "+itoa(s.pid())) {
		t.Errorf("does not name pid %d: %s", s.pid(), l.raw)
	}
	if s.pid() == cmd.Process.Pid {
		t.Error("the pid file names the second instance")
	}
}

func TestPIDFileThatCannotBeWrittenIsFoundBeforeCommit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := startService(t, settings{Probation: short, PIDFile: filepath.Join(dir, "app.pid")})
	addr := s.address("web")
	s.awaitPhase(0, 1, "serving")
	pid := s.pid()
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	from := s.since()
	s.signal(pid, syscall.SIGHUP)
	l, _ := s.awaitMsg(from, "upgrade rolled back")
	for _, want := range []string{"awaiting ready", "refused", filepath.Join(dir, "app.pid"), "no such file"} {
		if !strings.Contains(l.raw, want) {
			t.Errorf("the reason does not say %q: %s", want, l.raw)
		}
	}
	if s.get(addr) != 1 {
		t.Error("generation 1 does not serve")
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	s.upgrade(2)
}

func TestLivingGenerationsAreLimited(t *testing.T) {
	s := startService(t, settings{Probation: upgrader.NoProbation, Max: 3})
	addr := s.address("web")
	s.awaitPhase(0, 1, "serving")
	var pids []string
	for generation := range 2 { // each keeps its process alive
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		s.begin(c)
		pids = append(pids, itoa(s.pid()))
		s.upgrade(generation + 2)
	}
	reason := s.refused()
	for _, want := range append(pids, "3 generations live already", "at most 3") {
		if !strings.Contains(reason, want) {
			t.Errorf("the reason does not say %q: %s", want, reason)
		}
	}
	if got := s.get(addr); got != 3 {
		t.Errorf("generation %d answers, want 3", got)
	}
}

func TestStateSurvives(t *testing.T) {
	s := startService(t, settings{Probation: upgrader.NoProbation})
	addr := s.address("web")
	s.awaitPhase(0, 1, "serving")
	for generation := 2; generation < 5; generation++ {
		s.upgrade(generation)
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if a := s.ask(c, bufio.NewReader(c)); a.counter != generation-1 {
			t.Errorf("generation %d counts %d, want %d", generation, a.counter, generation-1)
		}
		c.Close()
	}
}

// The deadline ends what is left, and says what that was.
func TestDrainDeadline(t *testing.T) {
	s := startService(t, settings{Probation: upgrader.NoProbation, Drain: 300 * time.Millisecond})
	addr := s.address("web")
	s.awaitPhase(0, 1, "serving")
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s.begin(c)
	s.upgrade(2)
	l, _ := s.awaitMsg(0, "still open at the end of the drain")
	for _, want := range []string{`"listener":"web"`, `"connections":1`, `"since":`, `"generation":1`} {
		if !strings.Contains(l.raw, want) {
			t.Errorf("the log does not say %s: %s", want, l.raw)
		}
	}
	s.awaitPhase(0, 1, "exited")
}

// While the child is on probation it alone accepts.
func TestParentStandsByDuringProbation(t *testing.T) {
	s := startService(t, settings{Probation: time.Second})
	addr := s.address("web")
	s.awaitPhase(0, 1, "serving")
	from := s.since()
	s.signal(s.pid(), syscall.SIGHUP)
	s.awaitPhase(from, 2, "on probation")
	for range 50 {
		if got := s.get(addr); got != 2 {
			t.Fatalf("generation %d answers", got)
		}
	}
	if p := s.Phase(1); p != "probation" {
		t.Errorf("the parent is %s by now", p)
	}
}

// A second signal while nobody knows who owns the service ends both, and leaves nothing behind.
func TestForceWhileCommitting(t *testing.T) {
	s := startService(t, settings{Probation: upgrader.NoProbation})
	s.awaitPhase(0, 1, "serving")
	s.write(s.settings.with(func(n *settings) { n.Fault = "hangs at commit" }))
	pid, from := s.pid(), s.since()
	s.signal(pid, syscall.SIGHUP)
	s.awaitPhase(from, 1, "committing")
	s.awaitPhase(from, 2, "taking over")
	s.signal(pid, syscall.SIGTERM)
	s.signal(pid, syscall.SIGINT)
	s.awaitPhase(from, 1, "exited")
	s.awaitGone(pid)
	if left, _ := filepath.Glob(filepath.Join(s.dir, "*app.pid*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A service lives on when whoever reads its log has gone, and takes over even from a parent that was killed at once.
func TestNobodyReadsTheLog(t *testing.T) {
	s := startService(t, settings{Probation: short})
	addr := s.address("web")
	s.awaitPhase(0, 1, "serving")
	s.deaf()
	old := s.pid()
	s.signal(old, syscall.SIGHUP)
	for deadline := time.Now().Add(patience); s.get(addr) != 2; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("generation 2 never answers")
		}
	}
	for deadline := time.Now().Add(patience); s.pid() == old; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the pid file still names the old generation")
		}
	}
	s.awaitGone(old)
	last := s.pid()
	s.signal(last, syscall.SIGTERM)
	s.awaitGone(last)
}

func TestDeathAfterCommitIsReported(t *testing.T) {
	s := startService(t, settings{Probation: upgrader.NoProbation})
	addr := s.address("web")
	s.awaitPhase(0, 1, "serving")
	c, err := net.Dial("tcp", addr) // keeps the first generation alive
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s.begin(c)
	l := s.upgrade(2)
	s.awaitPhase(0, 1, "draining")
	s.signal(l.PID, syscall.SIGKILL)
	got, _ := s.awaitMsg(0, "the generation in charge has died")
	if got.Generation != 1 {
		t.Error(got.raw)
	}
}
