package upstream

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-e3b9a99f/baton/proxy/config"
)

func TestEjection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(journal)
		p := begin(t, three(), Options{Logger: slog.New(log)}, nil)

		fail(t, p, "b:1", 2)
		l := leaseOf(t, p, "b:1")
		l.Succeeded()
		l.Failed(errBroken) // the second word does not count
		l.Release()
		l = leaseOf(t, p, "a:1")
		for range 5 {
			l.Failed(errBroken)
		}
		l.Release()
		fail(t, p, "b:1", 2)
		synctest.Wait()
		wantStates(t, p, "up up up") // a success has broken the row
		log.want(t)

		fail(t, p, "b:1", 1)
		synctest.Wait()
		wantStates(t, p, "up ejected up")
		log.want(t, "WARN app server is ejected: b:1 up>ejected: "+
			"connections failed in a row: 3, the last: broken; in again in 10s")
		for range 6 {
			l := pick(t, p)
			if l.Server().Address() == "b:1" {
				t.Fatal("picked a server that is ejected")
			}
			l.Release()
		}

		time.Sleep(10*time.Second - 1)
		synctest.Wait()
		wantStates(t, p, "up ejected up")
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		wantStates(t, p, "up up up")
		log.want(t, "INFO app server is up: b:1 ejected>up: its ejection is over")
		if b := p.Status()[1]; b.Changes != 2 || b.Failures != 5 || time.Since(b.Since) != 0 {
			t.Errorf("%+v", b)
		}
	})
}

// A server that fails at once when it is back goes out at once, each time for longer, up to ten times.
func TestEjectionGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := begin(t, three(), Options{}, nil)
		out := func() time.Duration {
			start := time.Now()
			for p.Status()[1].State == "ejected" {
				time.Sleep(time.Second)
				synctest.Wait()
			}
			return time.Since(start) / time.Second
		}
		fail(t, p, "b:1", 2)
		for i := range 12 {
			fail(t, p, "b:1", 1)
			if got, want := out(), time.Duration(10*min(i+1, 10)); got != want {
				t.Errorf("ejection %d took %d s, want %d", i+1, got, want)
			}
		}
		time.Sleep(35 * time.Second) // in for three durations and a half
		fail(t, p, "b:1", 1)
		if got := out(); got != 80 {
			t.Errorf("after a rest it took %d s, want 80", got)
		}
		time.Sleep(time.Hour)
		fail(t, p, "b:1", 1)
		if got := out(); got != 10 {
			t.Errorf("after an hour it took %d s, want 10", got)
		}
	})
}

func TestEjectionLeavesTheLastServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(journal)
		p := begin(t, three(), Options{Logger: slog.New(log)}, nil)
		fail(t, p, "a:1", 3)
		fail(t, p, "b:1", 3)
		synctest.Wait()
		log.take()
		fail(t, p, "c:1", 20)
		synctest.Wait()
		wantStates(t, p, "ejected ejected up")
		log.want(t, "WARN app server stays in: no other is: c:1 up>up: connections failed in a row: 3, the last: broken")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		fail(t, p, "c:1", 1) // now there are others
		wantStates(t, p, "up up ejected")
	})
}

// What was ejected comes in when checks take out all else.
func TestEjectionEndsWhenNoOtherServerIsIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(journal)
		cfg := three()
		cfg.Health = &config.Health{Interval: time.Second, Fall: 2, Rise: 2}
		p := begin(t, cfg, Options{Logger: slog.New(log)}, func(_ context.Context, s *Server) error {
			if s.address == "b:1" {
				return nil
			}
			return errBroken
		})
		fail(t, p, "b:1", 3)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		wantStates(t, p, "down up down")
		lines := log.take()
		if len(lines) != 4 || lines[3] != "INFO app server is up: b:1 ejected>up: no other server is in" {
			t.Errorf("%q", lines)
		}
	})
}

func TestEjectionsEndEachInItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := begin(t, three(), Options{}, nil)
		wait := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}
		fail(t, p, "a:1", 3)
		wait(4 * time.Second)
		fail(t, p, "b:1", 3)
		wait(6*time.Second - 1)
		wantStates(t, p, "ejected ejected up")
		wait(1)
		wantStates(t, p, "up ejected up")
		wait(4 * time.Second)
		wantStates(t, p, "up up up")
	})
}

func TestNoEjectionWhereItIsOff(t *testing.T) {
	cfg := three()
	cfg.Ejection.Failures = 0
	p := begin(t, cfg, Options{}, nil)
	fail(t, p, "b:1", 100)
	wantStates(t, p, "up up up")
}

// What is not the server's fault, or is old, does not count against it.
func TestEjectionJudgesFairly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := begin(t, three(), Options{}, nil)
		for _, err := range []error{
			fmt.Errorf("dial: %w", context.Canceled),
			&net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.EMFILE)},
			fmt.Errorf("round trip: %w", syscall.ENOBUFS),
		} {
			for range 5 {
				l := leaseOf(t, p, "b:1")
				l.Failed(err)
				l.Release()
			}
			wantStates(t, p, "up up up")
		}
		if b := p.Status()[1]; b.Failures != 10 {
			t.Errorf("%d failures, want those that were not cancelled: 10", b.Failures)
		}

		var old []*Lease
		for range 3 {
			old = append(old, leaseOf(t, p, "b:1"))
		}
		fail(t, p, "b:1", 3)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for _, l := range old {
			l.Failed(errBroken) // they began before the ejection
			l.Release()
		}
		wantStates(t, p, "up up up")

		slow := leaseOf(t, p, "b:1")
		fail(t, p, "b:1", 1) // the row goes on
		wantStates(t, p, "up ejected up")
		time.Sleep(20 * time.Second)
		synctest.Wait()
		slow.Succeeded() // a server that was well once need not be now
		slow.Release()
		fail(t, p, "b:1", 1)
		wantStates(t, p, "up ejected up")
	})
}

func TestCloseEndsEjection(t *testing.T) {
	p := begin(t, three(), Options{}, nil)
	p.Close()
	fail(t, p, "b:1", 5)
	wantStates(t, p, "up up up") // nobody would take it in again
	if len(p.news) > 0 {
		t.Errorf("lines that nobody writes: %v", p.news)
	}
	p.Close()
}
