package bench

import (
	"strings"
	"testing"
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
tcp long         5     4         2       -     -      -      -               -     -      -     -  3 connection cut (EOF), 1 wrong bytes, 1 begun late by the client
`
	var b strings.Builder
	if err := WriteTable(&b, r); err != nil || b.String() != want[1:] {
		t.Errorf("%v\n%s\nwant\n%s", err, b.String(), want[1:])
	}
	r.Upgrades = nil
	b.Reset()
	if WriteTable(&b, r); strings.Contains(b.String(), "upgrading") {
		t.Errorf("without upgrades:\n%s", b.String())
	}
}
