package bench

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestWriteTable(t *testing.T) {
	r := Report{
		Upgrades: []Upgrade{{Number: 1}},
		Lanes: []LaneReport{
			{Name: "http new", Operations: 8402, Steady: Latency{8000, 0.2349, 3.96, 12.34, 1234.5}, Upgrading: Latency{402, 1, 2, 3, 4}},
			{Name: "tcp long", Operations: 5, Lost: 4, Reopened: 2, Late: 1, Failures: []FailureCount{
				{Failure{ConnectionCut, "EOF"}, 3, ""}, {Failure{Class: WrongBytes}, 1, ""}}},
		},
	}
	const want = `
lane      requests  lost  reopened  p50 ms   p99  p99.9    max  upgrading: p50   p99  p99.9   max  how they failed
http new     8,402     0         0    0.23  3.96   12.3  1,235            1.00  2.00   3.00  4.00
tcp long         5     4         2       -     -      -      -               -     -      -     -  3 connection cut (EOF), 1 wrong bytes,
                                                                                                   1 begun late by the client
`
	var b strings.Builder
	if err := WriteTable(&b, r); err != nil || b.String() != want[1:] {
		t.Errorf("%v\n%s\nwant\n%s", err, b.String(), want[1:])
	}
	r.Upgrades, r.Lanes = nil, append(r.Lanes[:1:1], LaneReport{Name: "late", Late: 1})
	b.Reset()
	if WriteTable(&b, r); strings.Count(b.String(), "how they failed") != 1 {
		t.Errorf("where the client was late:\n%s", b.String())
	}
	r.Lanes = r.Lanes[:1]
	b.Reset()
	if WriteTable(&b, r); strings.Contains(b.String(), "how they failed") || !strings.HasSuffix(b.String(), "12.3  1,235\n") {
		t.Errorf("where none failed:\n%s", b.String())
	}
	b.Reset()
	if WriteTable(&b, r); strings.Contains(b.String(), "upgrading") {
		t.Errorf("without upgrades:\n%s", b.String())
	}
}

// However much there is to tell, a table stays below 160 columns and tells all of it.
func TestTableStaysNarrow(t *testing.T) {
	classes := []Class{ConnectRefused, HandshakeFailed, ResetBeforeResponse, EOFBeforeResponse, ResponseTimeout, WrongStatus}
	big := Latency{1e9, 600_000, 600_000, 600_000, 600_000}
	rapid.Check(t, func(t *rapid.T) {
		some := func(name string) int64 { return rapid.SampledFrom([]int64{0, 1, 99_999}).Draw(t, name) }
		r := Report{Upgrades: make([]Upgrade, rapid.IntRange(0, 1).Draw(t, "upgrades"))}
		var told []string
		for _, name := range []string{"https keep-alive", "tcp"} {
			l := LaneReport{
				Name: name, Operations: 23_456_789, Lost: some("lost"), Steady: big, Upgrading: big, HiddenByRetry: some("hidden"),
				Refused: some("refused"), Duplicates: some("twice"), HandshakesFull: some("full"), Stall: float64(some("stall")),
			}
			for _, class := range classes[:rapid.IntRange(0, len(classes)).Draw(t, "classes")] {
				l.Failures = append(l.Failures, FailureCount{Failure: Failure{class, "ECONNRESET"}, Count: 34_567})
				told = append(told, "34,567 "+Failure{class, "ECONNRESET"}.String())
			}
			r.Lanes = append(r.Lanes, l)
		}
		var b strings.Builder
		if err := WriteTable(&b, r); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if len(line)-1 > tableWidth {
				t.Fatalf("%d columns:\n%s", len(line)-1, b.String())
			}
		}
		for _, what := range told {
			if strings.Count(b.String(), what) == 0 {
				t.Fatalf("no %q in\n%s", what, b.String())
			}
		}
		for head, of := range map[string]func(LaneReport) int64{
			"hidden": func(l LaneReport) int64 { return l.HiddenByRetry }, "refused": func(l LaneReport) int64 { return l.Refused },
			"twice": func(l LaneReport) int64 { return l.Duplicates }, "stall": func(l LaneReport) int64 { return int64(l.Stall) / longStall },
		} {
			first, _, _ := strings.Cut(b.String(), "\n")
			if want := of(r.Lanes[0])+of(r.Lanes[1]) > 0; strings.Contains(first, head) != want {
				t.Fatalf("a column %q: %v, want %v, in\n%s", head, !want, want, b.String())
			}
		}
	})
}
