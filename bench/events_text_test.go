package bench

import (
	"strings"
	"testing"
)

func TestWriteEvents(t *testing.T) {
	usage := func(processes int, cpu float64) *ProcessUsage {
		return &ProcessUsage{ProcessesPeak: processes, PSSBefore: 1000, PSSPeak: 1900, CPU: cpu}
	}
	r := Report{Upgrades: []Upgrade{
		{Number: 1, Serving: 20, PIDFile: 1020, Event: &Event{Kind: KindUpgrade, OldGone: 1100, Usage: usage(2, .05)}},
		{Number: 2, Event: &Event{Kind: KindRotate, Effective: 36.1}},
		{Number: 3, Error: "it died", Lost: 1234, Event: &Event{Kind: KindUpgrade, Fault: FaultExit, Usage: usage(3, .01)}},
		{Number: 4, Serving: 30, PIDFile: 1030, Lost: 1, Event: &Event{Kind: KindUpgrade, OldAlive: true, Usage: usage(2, .25)}},
		{Number: 5, Serving: 40, PIDFile: 1040},
	}}
	const want = `
event        count  failed   lost  in effect, ms: p50   max  pidfile: p50    max  old gone: p50    max  processes  memory  CPU, s
upgrade          3       0      1                30.0  40.0         1,030  1,040          1,100  never          2    1.9x    0.25
rotation         1       0      0                36.1  36.1             -      -              -      -          -       -       -
bad upgrade      1       1  1,234                   -     -             -      -              -      -          3    1.9x    0.01
`
	events := func(r Report) string {
		var b strings.Builder
		if err := WriteEvents(&b, r); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	if got := events(r); got != want[1:] {
		t.Errorf("\n%s\nwant\n%s", got, want[1:])
	}
	r.Upgrades = []Upgrade{{Number: 1, Error: "no such command"}}
	if got, want := events(r), "event    count  failed  lost\nupgrade      1       1     0\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := events(Report{}); got != "" {
		t.Errorf("%q without events", got)
	}
}
