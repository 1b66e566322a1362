package upgrader

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// script is effects that remember what they were asked for.
type script struct {
	m       *machine
	entered []Phase
	passed  []Action
	kills   atomic.Int32
	onEnter func(to Phase, epoch, child int)
}

func (s *script) enter(from, to Phase, cause error) {
	s.entered = append(s.entered, to)
	if to == Serving && from != TakingOver {
		if cause == nil {
			cause = errors.New("timeout")
		}
		answer(s.m.take(), cause)
	}
	if s.onEnter != nil {
		s.onEnter(to, s.m.epoch, s.m.child)
	}
}
func (s *script) pass(a Action) error                  { s.passed = append(s.passed, a); return nil }
func (s *script) kill()                                { s.kills.Add(1) }
func (s *script) phaseChanged(from, to Phase, _ error) {}

// serving returns a machine that is in charge, inside a synctest bubble.
func serving(t *testing.T, o Options) (*machine, *script) {
	t.Helper()
	o.setDefaults()
	s := &script{}
	m := newMachine(&o, slog.New(slog.DiscardHandler), s)
	s.m = m
	go m.run()
	t.Cleanup(m.close)
	for _, ev := range []event{evReady, evParentGone, evDone} {
		m.post(input{ev: ev})
	}
	synctest.Wait()
	if m.read() != Serving {
		t.Fatalf("in %v, want serving", m.read())
	}
	s.entered = nil
	return m, s
}

func upgradeAsync(m *machine, signal bool) <-chan error {
	result := make(chan error, 1)
	m.post(input{ev: evUpgrade, reply: []chan<- error{result}, signal: signal})
	return result
}

// succeed has every child be ready and take over at once.
func (s *script) succeed() {
	s.onEnter = func(to Phase, epoch, child int) {
		switch to {
		case Starting:
			s.m.post(input{ev: evDone, epoch: epoch})
		case AwaitingReady:
			s.m.post(input{ev: evChildReady, child: child})
		case Committing:
			s.m.post(input{ev: evCommitted, child: child})
		case HandingOver:
			s.m.post(input{ev: evDone, epoch: epoch})
		}
	}
}

func TestMachineUpgrades(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, s := serving(t, Options{Probation: 3 * time.Second})
		s.succeed()
		result := upgradeAsync(m, false)
		time.Sleep(3*time.Second - 1)
		synctest.Wait()
		if m.read() != Probation {
			t.Fatalf("in %v before the probation has passed", m.read())
		}
		time.Sleep(time.Nanosecond)
		if err := <-result; err != nil {
			t.Fatal(err)
		}
		want := []Phase{Starting, AwaitingReady, Probation, Committing, HandingOver, Draining}
		if got := s.entered; !equal(got, want) {
			t.Errorf("went through %v, want %v", got, want)
		}
	})
}

func equal(a, b []Phase) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestMachineTimeouts(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(to Phase, m *machine, epoch, child int)
		in   time.Duration
		want Phase
	}{
		{"child never starts", func(Phase, *machine, int, int) {}, time.Minute, Serving},
		{"child never ready", func(to Phase, m *machine, epoch, _ int) {
			if to == Starting { // half of the time goes into the start
				time.AfterFunc(30*time.Second, func() { m.post(input{ev: evDone, epoch: epoch}) })
			}
		}, time.Minute, Serving},
		{"child does not commit", func(to Phase, m *machine, epoch, child int) {
			switch to {
			case Starting:
				m.post(input{ev: evDone, epoch: epoch})
			case AwaitingReady:
				m.post(input{ev: evChildReady, child: child})
			}
		}, time.Second + 10*time.Second, Committing},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, s := serving(t, Options{})
				s.onEnter = func(to Phase, epoch, child int) { test.do(to, m, epoch, child) }
				result := upgradeAsync(m, false)
				time.Sleep(test.in - 1)
				synctest.Wait()
				if m.read() == Serving || s.kills.Load() > 0 {
					t.Fatalf("gave up early: in %v", m.read())
				}
				time.Sleep(2 * time.Nanosecond)
				synctest.Wait()
				if m.read() != test.want {
					t.Fatalf("in %v, want %v", m.read(), test.want)
				}
				if test.want == Committing { // who owns the service is open until the child is dead
					if n := s.kills.Load(); n != 1 {
						t.Fatalf("the child was killed %d times, want once", n)
					}
					m.post(input{ev: evChildGone, child: m.child})
				}
				if err := <-result; err == nil {
					t.Error("the upgrade says that it worked")
				}
			})
		})
	}
}

// However many signals come during an upgrade, they mean one more after it; a call of Upgrade is told to wait.
func TestMachineKeepsOneUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, s := serving(t, Options{})
		first := upgradeAsync(m, true)
		synctest.Wait()
		var kept []<-chan error
		for range 5 {
			kept = append(kept, upgradeAsync(m, true))
		}
		if err := <-upgradeAsync(m, false); !errors.Is(err, ErrUpgradeInProgress) {
			t.Errorf("Upgrade during an upgrade: %v", err)
		}
		m.post(input{ev: evChildRefused, child: m.child, cause: errors.New("bad version")})
		if err := <-first; err == nil || err.Error() != "bad version" {
			t.Errorf("first: %v", err)
		}
		synctest.Wait()
		if m.read() != Starting {
			t.Fatalf("in %v: the kept upgrade did not begin", m.read())
		}
		m.post(input{ev: evFailed, epoch: m.epoch, cause: errors.New("again")})
		for _, k := range kept {
			if err := <-k; err == nil || err.Error() != "again" {
				t.Errorf("kept: %v", err)
			}
		}
		synctest.Wait()
		if want := []Phase{Starting, Serving, Starting, Serving}; !equal(s.entered, want) {
			t.Errorf("went through %v, want %v", s.entered, want)
		}
	})
}

func TestMachinePassesOnWhatCameBeforeCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, s := serving(t, Options{Probation: NoProbation})
		s.succeed()
		released := s.onEnter
		s.onEnter = func(to Phase, epoch, child int) {
			if to == Committing { // both come while the owner is not known
				m.post(input{ev: evUpgrade, signal: true})
				m.post(input{ev: evStop, signal: true})
			}
			released(to, epoch, child)
		}
		if err := <-upgradeAsync(m, false); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(s.passed) != 2 || s.passed[0] != ActionUpgrade || s.passed[1] != ActionStop {
			t.Errorf("passed on %v, want upgrade and stop", s.passed)
		}
		if err := <-upgradeAsync(m, false); !errors.Is(err, ErrPassedOn) {
			t.Errorf("Upgrade in a process that was replaced: %v", err)
		}
		if err := <-upgradeAsync(m, true); err != nil {
			t.Errorf("a signal that is passed on: %v", err)
		}
	})
}

// Programs written for tableflip defer Stop, which runs in a process that was replaced: the service must not hear it.
func TestMachineKeepsItsOwnStopToItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, s := serving(t, Options{Probation: NoProbation})
		s.succeed()
		released := s.onEnter
		s.onEnter = func(to Phase, epoch, child int) {
			if to == Committing {
				m.post(input{ev: evStop})
			}
			released(to, epoch, child)
		}
		if err := <-upgradeAsync(m, false); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			m.post(input{ev: evStop})
			synctest.Wait()
			if len(s.passed) != 0 {
				t.Errorf("passed on %v in %v", s.passed, m.read())
			}
			m.post(input{ev: evDone, epoch: m.epoch})
			synctest.Wait()
		}
	})
}

func TestMachineStopsWhenItTurnsOutToBeTheOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, s := serving(t, Options{Probation: NoProbation})
		s.succeed()
		released := s.onEnter
		s.onEnter = func(to Phase, epoch, child int) {
			if to == Committing {
				m.post(input{ev: evStop})
				m.post(input{ev: evChildGone, child: child})
				return
			}
			released(to, epoch, child)
		}
		result := upgradeAsync(m, false)
		synctest.Wait()
		if m.read() != Stopping {
			t.Errorf("in %v, want stopping", m.read())
		}
		if err := <-result; err == nil {
			t.Error("the upgrade says that it worked")
		}
	})
}

func TestMachineDoesNotHearWhatIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := serving(t, Options{})
		upgradeAsync(m, true)
		synctest.Wait()
		old, oldEpoch := m.child, m.epoch
		m.post(input{ev: evChildGone, child: old})
		upgradeAsync(m, true)
		synctest.Wait()
		if m.read() != Starting {
			t.Fatal("the second upgrade did not begin")
		}
		m.post(input{ev: evChildGone, child: old}) // the first one's last words
		m.post(input{ev: evDone, epoch: oldEpoch})
		synctest.Wait()
		if m.read() != Starting {
			t.Errorf("in %v: a child that was given up still counts", m.read())
		}
	})
}

// Whatever happens in whatever order, nobody waits for ever, a stop ends in an end, and force ends at once.
func TestMachineProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			m, _ := serving(t, Options{})
			var results []<-chan error
			stopped := false
			for range rapid.IntRange(1, 60).Draw(rt, "steps") {
				in := input{ev: event(rapid.IntRange(0, int(events)-1).Draw(rt, "event"))}
				switch in.ev {
				case evUpgrade:
					results = append(results, upgradeAsync(m, rapid.Bool().Draw(rt, "signal")))
					synctest.Wait()
					continue
				case evDone, evFailed, evTimeout:
					in.epoch = m.epoch
				case evChildReady, evChildRefused, evChildGone, evCommitted:
					in.child = m.child
				case evStop, evForce:
					stopped = true
				}
				m.post(in)
				synctest.Wait()
				if in.ev == evForce && m.read() != Exited {
					rt.Fatalf("in %v after force", m.read())
				}
			}
			m.post(input{ev: evChildGone, child: m.child}) // a child that was killed does go
			synctest.Wait()
			time.Sleep(time.Hour) // every bounded phase ends
			m.post(input{ev: evChildGone, child: m.child})
			synctest.Wait()
			time.Sleep(time.Hour)
			synctest.Wait()
			switch p := m.read(); {
			case stopped && p != Exited:
				rt.Fatalf("in %v after a stop", p)
			case p != Serving && p != Exited:
				rt.Fatalf("stuck in %v", p)
			}
			for _, r := range results {
				select {
				case <-r:
				default:
					rt.Fatal("an upgrade was never answered")
				}
			}
		})
	})
}
