package bench

import (
	"strings"
	"testing"
	"time"
)

var aProgress = Progress{
	Elapsed: 3 * time.Second, PerSecond: 2399.6, Operations: 7200, Lost: 2, P99: 12345 * time.Microsecond,
	Generation: "2", Upgraded: 1, Upgrades: 10,
	Lanes: []LaneProgress{{"http new", 3600, 0, time.Millisecond}, {"tcp long", 3600, 2, 12345 * time.Microsecond}},
}

func TestLiveLines(t *testing.T) {
	var b strings.Builder
	l := NewLive(&b)
	l.Progress(aProgress)
	l.Upgraded(Upgrade{Number: 2, ToGeneration: "3", Serving: 98.7, ToPID: 4711, PIDFile: 1098.7})
	l.Upgraded(Upgrade{Number: 3, Error: "it died"})
	l.Upgraded(Upgrade{Number: 4, Event: &Event{Kind: KindRotate, Effective: 12.3}})
	const want = `   3s   2,400 op/s  lost 2  p99 12.3 ms  upgrades 1/10  generation 2
      upgrade 2: generation 3 serving after 98.7 ms, pid 4711 after 1,099 ms
      upgrade 3 failed: it died
      event 4: new certificate served after 12.3 ms
`
	if b.String() != want {
		t.Errorf("\n%s\nwant\n%s", b.String(), want)
	}
}

// On a terminal the block replaces the one before, and what is told of upgrades stays above it.
func TestLiveRedraws(t *testing.T) {
	var b strings.Builder
	l := &Live{w: &b, redraw: true}
	l.Upgraded(Upgrade{Number: 1, Serving: 5})
	for range 2 {
		b.Reset()
		l.Progress(aProgress)
	}
	if lines := strings.Count(b.String(), "\n"); !strings.HasPrefix(b.String(), "\x1b[4A\x1b[J   3s") || lines != 4 {
		t.Errorf("the block of %d lines begins with %q", lines, b.String()[:12])
	}
	b.Reset()
	l.Upgraded(Upgrade{Number: 2, Serving: 5})
	if !strings.HasPrefix(b.String(), "\x1b[4A\x1b[J      upgrade 2") || strings.Count(b.String(), "\n") != 5 {
		t.Errorf("%q", b.String())
	}
	b.Reset()
	l.Close()
	if b.String() != "\x1b[4A\x1b[J" {
		t.Errorf("%q", b.String())
	}
}

func TestHeader(t *testing.T) {
	p := Plan{Lanes: []Lane{fake{name: "a"}, fake{name: "b"}}}
	if got, want := p.Header(), "a, b, each at 400 op/s, 50 connections where they persist; 10s without upgrades"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	p.Upgrades = &Upgrades{Count: 3}
	if got := p.Header(); !strings.HasSuffix(got, "; 3 upgrades, 2s apart") {
		t.Errorf("%q", got)
	}
}
