package upstream

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-e3b9a99f/baton/proxy/config"
)

// answers is what servers say to checks; the test changes it.
type answers struct {
	mu    sync.Mutex
	of    map[string]error
	asked map[string][]time.Time
}

func (a *answers) ask(_ context.Context, s *Server) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.asked == nil {
		a.asked = make(map[string][]time.Time)
	}
	a.asked[s.address] = append(a.asked[s.address], time.Now())
	return a.of[s.address]
}

func (a *answers) set(err error, addresses ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of == nil {
		a.of = make(map[string]error)
	}
	for _, address := range addresses {
		a.of[address] = err
	}
}

// checks lets a number of checks go by: they come at every second, give or take a tenth of one.
func checks(n int) {
	for range n {
		time.Sleep(1100 * time.Millisecond)
	}
	synctest.Wait()
}

func checked() config.Upstream {
	cfg := three()
	cfg.Health = &config.Health{Interval: time.Second, Fall: 3, Rise: 2}
	return cfg
}

func TestFallAndRise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, servers := new(journal), new(answers)
		servers.set(errBroken, "b:1")
		p := begin(t, checked(), Options{Logger: slog.New(log)}, servers.ask)
		synctest.Wait()
		if b := p.Status()[1]; b.State != "up" || b.LastError != "broken" || !b.LastCheck.Equal(time.Now()) {
			t.Fatalf("after the first check: %+v", b)
		}
		fallen := time.Now()
		for p.Status()[1].State == "up" {
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
		}
		if d := time.Since(fallen); d < 1800*time.Millisecond || d > 2210*time.Millisecond {
			t.Errorf("down after %v, want three checks", d)
		}
		log.want(t, "WARN app server is down: b:1 up>down: checks failed in a row: 3, the last: broken")
		checks(5)
		log.want(t) // said once

		servers.set(nil, "b:1")
		risen := time.Now()
		for p.Status()[1].State == "down" {
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
		}
		if d := time.Since(risen); d < 900*time.Millisecond || d > 2210*time.Millisecond {
			t.Errorf("up after %v, want two checks", d)
		}
		log.want(t, "INFO app server is up: b:1 down>up: checks succeeded in a row: 2")
		if b := p.Status()[1]; b.Changes != 2 || b.Failures != 0 {
			t.Errorf("%+v", b)
		}
	})
}

// Only checks in a row count, both ways.
func TestFlappingChecksChangeNothing(t *testing.T) {
	p := still(t, config.RoundRobin, 2)
	p.cfg.Health = checked().Health
	s := p.servers[0]
	turn := func(errs ...error) {
		for _, err := range errs {
			p.checked(s, err, time.Now())
		}
	}
	turn(errBroken, errBroken, nil, errBroken, errBroken, nil)
	if s.state != up {
		t.Fatal("down without three failures in a row")
	}
	turn(errBroken, errBroken, errBroken)
	if s.state != down {
		t.Fatal("up after three failures in a row")
	}
	turn(nil, errBroken, nil, errBroken)
	if s.state != down {
		t.Fatal("up without two successes in a row")
	}
	turn(nil, nil)
	if s.state != up {
		t.Fatal("down after two successes in a row")
	}
}

func TestAllDownFailsFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers := new(answers)
		servers.set(errBroken, "a:1", "b:1", "c:1")
		p := begin(t, checked(), Options{}, servers.ask)
		checks(3)
		_, err := p.Pick(anyone, nil)
		if !errors.Is(err, ErrNoServer) || err.Error() != "upstream app: no server to pick: of 3, 3 down (b:1: broken)" &&
			err.Error() != "upstream app: no server to pick: of 3, 3 down (a:1: broken)" &&
			err.Error() != "upstream app: no server to pick: of 3, 3 down (c:1: broken)" {
			t.Fatal(err)
		}
		servers.set(nil, "c:1")
		checks(3)
		if l := pick(t, p); l.Server().Address() != "c:1" {
			t.Errorf("picked %s", l.Server().Address())
		}
	})
}

func TestChecksComeAtOnceAndThenWithJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers := new(answers)
		start := time.Now()
		p := begin(t, checked(), Options{}, servers.ask)
		checks(200)
		p.Close()
		for address, asked := range servers.asked {
			if !asked[0].Equal(start) {
				t.Errorf("%s: first check after %v", address, asked[0].Sub(start))
			}
			shortest, longest := time.Hour, time.Duration(0)
			for i, at := range asked[1:] {
				gap := at.Sub(asked[i])
				shortest, longest = min(shortest, gap), max(longest, gap)
			}
			const ms = time.Millisecond
			if shortest < 900*ms || shortest > 920*ms || longest < 1080*ms || longest > 1100*ms {
				t.Errorf("%s: %v to %v between checks", address, shortest, longest)
			}
		}
		if len(servers.asked) != 3 {
			t.Errorf("%d servers were asked", len(servers.asked))
		}
	})
}

// The interval is from check to check, also of a server that takes its time.
func TestSlowChecksKeepTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers := new(answers)
		p := begin(t, checked(), Options{}, func(ctx context.Context, s *Server) error {
			defer time.Sleep(500 * time.Millisecond)
			return servers.ask(ctx, s)
		})
		checks(100)
		p.Close()
		if n := len(servers.asked["a:1"]); n < 105 || n > 115 {
			t.Errorf("%d checks in 110 s", n)
		}
	})
}

func TestOwnFaultIsNoFailedCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers := new(answers)
		servers.set(syscall.EMFILE, "a:1", "b:1", "c:1")
		p := begin(t, checked(), Options{}, servers.ask)
		checks(10)
		wantStates(t, p, "up up up")
		if a := p.Status()[0]; a.LastError != syscall.EMFILE.Error() {
			t.Errorf("%+v", a)
		}
	})
}

// Checks that take a server out end its ejection too: only they bring it back.
func TestDownEndsEjection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers := new(answers)
		servers.set(errBroken, "b:1")
		p := begin(t, checked(), Options{}, servers.ask)
		fail(t, p, "b:1", 3)
		wantStates(t, p, "up ejected up")
		checks(3)
		wantStates(t, p, "up down up")
		checks(20)
		wantStates(t, p, "up down up")
		servers.set(nil, "b:1")
		checks(3)
		fail(t, p, "b:1", 2) // checks have shown that the row is over
		wantStates(t, p, "up up up")
	})
}

func TestCloseWaitsForChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := false
		cfg := checked()
		cfg.Servers = cfg.Servers[:1]
		p := begin(t, cfg, Options{}, func(ctx context.Context, s *Server) error {
			<-ctx.Done()
			time.Sleep(time.Second)
			ended = true
			return ctx.Err()
		})
		synctest.Wait()
		p.Close()
		if !ended {
			t.Error("closed while a check ran")
		}
		if a := p.Status()[0]; a.LastError != "" {
			t.Errorf("the end of the pool counts as a failure: %+v", a)
		}
	})
}
