package upstream

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed-e3b9a99f/baton/proxy/config"
)

// still makes a pool of n servers that runs nothing, for tests that choose and set states by hand.
func still(t interface{ Fatal(...any) }, balance config.Balance, n int) *Pool {
	cfg := config.Upstream{Balance: balance}
	for i := range n {
		cfg.Servers = append(cfg.Servers, fmt.Sprintf("10.0.0.%d:80", i+1))
	}
	p, err := newPool("app", cfg, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRoundRobinTakesTurns(t *testing.T) {
	p := still(t, config.RoundRobin, 3)
	var got string
	turns := func(n int) {
		for range n {
			l := pick(t, p)
			got += l.Server().Address()[7:8]
			l.Release()
		}
	}
	turns(6)
	p.servers[1].state = down
	got += " "
	turns(4)
	p.servers[1].state = up
	got += " "
	turns(6)
	// While one is out, the others take turns; an index that steps over it would give 1 3 3 1 or so. When it is back,
	// it has its own turns and no more.
	if want := "123123 1313 123123"; got != want {
		t.Errorf("picked %s, want %s", got, want)
	}
}

// Over any stretch in which the same servers are in, each has its share within a few picks, whatever happened before.
func TestRoundRobinIsEven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "servers")
		p := still(t, config.RoundRobin, n)
		for range rapid.IntRange(1, 20).Draw(t, "stretches") {
			in := 0
			for _, s := range p.servers {
				s.state = down
				if rapid.Bool().Draw(t, "in") {
					s.state = up
					in++
				}
			}
			picks := make(map[*Server]int)
			total := rapid.IntRange(0, 40).Draw(t, "picks")
			for range total {
				l, err := p.Pick(anyone, nil)
				if err != nil && in > 0 {
					t.Fatal(err)
				}
				if err == nil {
					picks[l.Server()]++
				}
			}
			for _, s := range p.servers {
				switch {
				case s.state != up && picks[s] > 0:
					t.Fatalf("picked %s, which is out", s.address)
				case s.state != up:
				case picks[s]*in > total+2*in, picks[s]*in < total-2*in:
					t.Fatalf("%s has %d of %d picks among %d", s.address, picks[s], total, in)
				}
			}
		}
	})
}

func TestLeastConn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := still(t, config.LeastConn, rapid.IntRange(1, 6).Draw(t, "servers"))
		var leases []*Lease
		for range rapid.IntRange(0, 100).Draw(t, "steps") {
			if len(leases) > 0 && rapid.Bool().Draw(t, "release") {
				i := rapid.IntRange(0, len(leases)-1).Draw(t, "which")
				leases[i].Release()
				leases = append(leases[:i], leases[i+1:]...)
				continue
			}
			least := p.servers[0].Active()
			for _, s := range p.servers {
				least = min(least, s.Active())
			}
			l, err := p.Pick(anyone, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := l.Server().Active() - 1; got != least {
				t.Fatalf("picked one with %d connections, the least is %d", got, least)
			}
			leases = append(leases, l)
		}
	})
}

func TestLeastConnTiesRotate(t *testing.T) {
	p := still(t, config.LeastConn, 3)
	leaseOf(t, p, "10.0.0.2:80") // is kept, so that the two others tie
	picks := make(map[string]int)
	for range 10 {
		l := pick(t, p)
		picks[l.Server().Address()]++
		l.Release()
	}
	if picks["10.0.0.1:80"] != 5 || picks["10.0.0.3:80"] != 5 {
		t.Errorf("picks: %v", picks)
	}
}

// A server that goes takes only its own sources along, and gets exactly these back.
func TestSourceHashMovesOnlyAShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := still(t, config.SourceHash, rapid.IntRange(2, 12).Draw(t, "servers"))
		gone := rapid.SampledFrom(p.servers).Draw(t, "gone")
		for _, raw := range rapid.SliceOfN(rapid.Uint64(), 50, 50).Draw(t, "sources") {
			source := v6(raw)
			before := p.choose(source, nil)
			gone.state = down
			without := p.choose(source, nil)
			gone.state = up
			switch {
			case without == gone:
				t.Fatalf("%v went to a server that is out", source)
			case before != gone && without != before:
				t.Fatalf("%v moved from %s to %s when %s went", source, before.address, without.address, gone.address)
			case p.choose(source, nil) != before:
				t.Fatalf("%v did not go back to %s", source, before.address)
			case p.choose(source, []*Server{gone}) != without:
				t.Fatalf("%v: a server that was tried and one that is out differ", source)
			}
		}
	})
}

// The order of the configuration means nothing: proxies of a fleet may have it differently.
func TestSourceHashIgnoresOrder(t *testing.T) {
	p, q := still(t, config.SourceHash, 5), still(t, config.SourceHash, 5)
	q.servers[0], q.servers[3] = q.servers[3], q.servers[0]
	for i := range uint64(200) {
		if a, b := p.choose(v6(i), nil).address, q.choose(v6(i), nil).address; a != b {
			t.Fatalf("%v goes to %s or %s", v6(i), a, b)
		}
	}
}

func TestSourceHashIsEven(t *testing.T) {
	p := still(t, config.SourceHash, 10)
	picks := make(map[*Server]int)
	const sources = 1 << 16
	for i := range uint32(sources) { // neighbours, as in a real network
		picks[p.choose(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), nil)]++
	}
	for s, n := range picks {
		if n < sources/10*95/100 || n > sources/10*105/100 { // 4 standard deviations
			t.Errorf("%s has %d of %d sources, of ten servers", s.address, n, sources)
		}
	}
}

// An upgrade must not send clients elsewhere: these are the choices of every release, in every process.
func TestSourceHashNeverChanges(t *testing.T) {
	p := still(t, config.SourceHash, 5)
	var got string
	for i := range byte(20) {
		got += p.choose(netip.AddrFrom4([4]byte{192, 0, 2, i}), nil).address[7:8]
	}
	for i := range uint64(20) {
		got += p.choose(v6(i), nil).address[7:8]
	}
	if want := "2145121155544423114451145244242315125143"; got != want {
		t.Errorf("sources go to %s, want %s", got, want)
	}
	mapped := netip.MustParseAddr("::ffff:192.0.2.1")
	if p.choose(mapped, nil) != p.choose(mapped.Unmap(), nil) {
		t.Error("an IPv4 address goes elsewhere when it is mapped into IPv6")
	}
}

func TestSourceHashWithoutSourceRotates(t *testing.T) {
	p := still(t, config.SourceHash, 3)
	picks := make(map[*Server]int)
	for range 9 {
		l, err := p.Pick(netip.Addr{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		picks[l.Server()]++
	}
	for s, n := range picks {
		if n != 3 {
			t.Errorf("%s: %d of 9 picks", s.address, n)
		}
	}
}

func v6(low uint64) netip.Addr {
	bytes := [16]byte{0x20, 0x01, 0x0d, 0xb8}
	binary.BigEndian.PutUint64(bytes[8:], low)
	return netip.AddrFrom16(bytes)
}
