package bench

import (
	"fmt"
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
	l.Upgraded(Upgrade{Number: 1, SeenBy: SignAnswer, Triggered: 3, Serving: 1200})
	l.Upgraded(Upgrade{Number: 2, SeenBy: SignWorkers, FromPID: 4711, Serving: 40})
	l.Upgraded(Upgrade{Number: 3, SeenBy: SignPIDFile, ToPID: 4712, Serving: 1000, PIDFile: 1000})
	l.Upgraded(Upgrade{Number: 4, Event: &Event{Kind: KindRotate, Effective: 12.3}})
	l.Upgraded(Upgrade{Number: 5, Event: &Event{Kind: KindUpgrade, Fault: FaultHang, FaultStarted: 9, FaultEnded: 5000}})
	mixed := aProgress
	mixed.Mixed = true
	l.Progress(mixed)
	const want = `   3s   2,400 op/s  lost 2  p99 12.3 ms  upgrades 1/10  generation 2
      upgrade 2: generation 3 serving after 98.7 ms, pid 4711 after 1,099 ms
      upgrade 3 failed: it died
      upgrade 1: triggered within 3.00 ms, answering after 1,200 ms
      upgrade 2: new workers of pid 4711 after 40.0 ms
      upgrade 3: pid 4712 in charge after 1,000 ms
      rotation 4: new certificate served after 12.3 ms
      bad upgrade 5: hang, started after 9.00 ms and ended after 5,000 ms
   3s   2,400 op/s  lost 2  p99 12.3 ms  events 1/10  generation 2
`
	if b.String() != want {
		t.Errorf("\n%s\nwant\n%s", b.String(), want)
	}
}

// On a terminal the block replaces the one before, and what is told of upgrades stays above it.
func TestLiveRedraws(t *testing.T) {
	var b strings.Builder
	l := &Live{w: &b, redraw: true, size: func() (int, int) { return 0, 0 }}
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

// A block that does not fit is cut: lines to the terminal's width, and lanes to those that lost something and the first.
func TestLiveOnASmallTerminal(t *testing.T) {
	p := aProgress
	p.Lanes = nil
	for i := range 20 {
		lane := LaneProgress{Name: fmt.Sprintf("lane %d", i), Operations: 1000, P99: time.Duration(i) * time.Millisecond}
		if i == 7 || i == 19 {
			lane.Lost = int64(i)
		}
		p.Lanes = append(p.Lanes, lane)
	}
	const want = `   3s   2,400 op/s  lost 2  p99 12.3 m
lane     requests  lost  p99 ms
lane 0      1,000     0    0.00
lane 1      1,000     0    1.00
lane 7      1,000     7    7.00
lane 19     1,000    19    19.0
16 more    16,000     0    18.0
`
	if got := p.block(39, 8); got != want {
		t.Errorf("\n%s\nwant\n%s", got, want)
	}
	for lines := range 30 {
		if got := strings.Count(p.block(80, lines), "\n"); lines >= 4 && got >= lines || lines >= 23 && got != 22 {
			t.Errorf("%d lines on a terminal of %d", got, lines)
		}
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
	p.Upgrades.Kinds = []Kind{KindUpgrade, KindRotate}
	if got := p.Header(); !strings.HasSuffix(got, "; 3 events (upgrade, rotate), 2s apart") {
		t.Errorf("%q", got)
	}
}
