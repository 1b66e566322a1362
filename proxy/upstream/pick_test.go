package upstream

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/seed-e3b9a99f/baton/proxy/config"
)

func TestPickPassesOverTried(t *testing.T) {
	for _, balance := range []config.Balance{config.RoundRobin, config.LeastConn, config.SourceHash} {
		p := still(t, balance, 3)
		var tried []*Server
		for range 3 {
			l := pick(t, p, tried...)
			for _, s := range tried {
				if s == l.Server() {
					t.Fatalf("%s: %s was picked again", balance, s.address)
				}
			}
			tried = append(tried, l.Server())
			l.Release()
		}
		_, err := p.Pick(anyone, tried)
		if !errors.Is(err, ErrNoServer) || !strings.HasSuffix(err.Error(), "of 3, 3 already tried") {
			t.Errorf("%s: %v", balance, err)
		}
	}
}

func TestNoServerSaysWhy(t *testing.T) {
	p := still(t, config.RoundRobin, 4)
	p.servers[0].state, p.servers[1].state, p.servers[2].state = down, down, ejected
	p.servers[1].lastError, p.servers[1].lastFailure = "connection refused", p.servers[1].since
	_, err := p.Pick(anyone, p.servers[3:])
	want := "upstream app: no server to pick: of 4, 2 down, 1 ejected, 1 already tried (10.0.0.2:80: connection refused)"
	if !errors.Is(err, ErrNoServer) || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestMaxConnections(t *testing.T) {
	cfg := three()
	cfg.MaxConnections = 2
	p := begin(t, cfg, Options{}, nil)
	first, second := pick(t, p), pick(t, p)
	_, err := p.Pick(anyone, nil)
	if !errors.Is(err, ErrBusy) || err.Error() != "upstream app: too many connections: all 2 of max_connections are in use" {
		t.Fatal(err)
	}
	if _, err := p.Pick(anyone, p.servers); !errors.Is(err, ErrNoServer) {
		t.Errorf("busy, and nothing left to try: %v", err)
	}
	first.Release()
	first.Release() // counts once
	third := pick(t, p)
	if _, err := p.Pick(anyone, nil); !errors.Is(err, ErrBusy) {
		t.Fatal(err)
	}
	second.Release()
	third.Release()
	for _, s := range p.Status() {
		if s.Active != 0 {
			t.Errorf("%s: %d active", s.Address, s.Active)
		}
	}
}

func TestStatusCounts(t *testing.T) {
	p := begin(t, three(), Options{}, nil)
	l := leaseOf(t, p, "b:1")
	fail(t, p, "b:1", 2)
	b := p.Status()[1]
	if b.Address != "b:1" || b.Active != 1 || b.Picks != 3 || b.Failures != 2 || b.Changes != 0 ||
		b.LastError != "broken" || b.LastFailure.IsZero() {
		t.Errorf("%+v", b)
	}
	if l.Server().Active() != 1 {
		t.Errorf("%d active", l.Server().Active())
	}
	l.Release()
}

func TestPickAllocatesTheLeaseOnly(t *testing.T) {
	for _, balance := range []config.Balance{config.RoundRobin, config.LeastConn, config.SourceHash} {
		p := still(t, balance, 10)
		if n := testing.AllocsPerRun(100, func() {
			l, _ := p.Pick(anyone, nil)
			l.Succeeded()
			l.Release()
		}); n > 1 {
			t.Errorf("%s: %v allocations", balance, n)
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	cfg := three()
	cfg.Balance = config.LeastConn
	p := begin(t, cfg, Options{}, nil)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 500 {
				l, err := p.Pick(anyone, nil)
				if err != nil {
					t.Error(err)
					return
				}
				switch (g + i) % 3 {
				case 0:
					l.Failed(errBroken)
				case 1:
					l.Succeeded()
				}
				if i%50 == 0 {
					p.Status()
					p.Knowledge()
				}
				l.Release()
			}
		})
	}
	all.Wait()
	var picks, failures uint64
	for _, s := range p.Status() {
		picks, failures = picks+s.Picks, failures+s.Failures
		if s.Active != 0 {
			t.Errorf("%s: %d active", s.Address, s.Active)
		}
	}
	if picks != 8*500 || failures < 8*500/3-8 || p.active != 0 {
		t.Errorf("%d picks, %d failures, %d active", picks, failures, p.active)
	}
}

func BenchmarkPick(b *testing.B) {
	for _, balance := range []config.Balance{config.RoundRobin, config.LeastConn, config.SourceHash} {
		b.Run(string(balance), func(b *testing.B) {
			p := still(b, balance, 10)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					l, err := p.Pick(anyone, nil)
					if err != nil {
						b.Fatal(err)
					}
					l.Succeeded()
					l.Release()
				}
			})
		})
	}
}
