package bench

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// laneOf is a lane of which lost operations were lost and each of the others took a millisecond more than the one before,
// up to 100.
func laneOf(name string, ok, lost int64, first time.Duration) LaneReport {
	p := newTally().parts[before]
	p.done, p.ok, p.lost = ok+lost, ok, lost
	for i := range ok {
		p.latency.add(first + time.Duration(i%100)*time.Millisecond)
	}
	w := p.window()
	return LaneReport{
		Name: name, Operations: ok + lost, OK: ok, Lost: lost, Before: w, Steady: w.Latency,
		LossBound: lossBound(lost, ok+lost, confidence), Stall: 12.5,
	}
}

func TestCompare(t *testing.T) {
	a := Report{Lanes: []LaneReport{laneOf("http new", 10000, 0, time.Millisecond), laneOf("tcp new", 1, 0, 0), laneOf("old", 1, 0, 0)}}
	b := Report{Lanes: []LaneReport{laneOf("new", 1, 0, 0), laneOf("tcp new", 1, 0, 0), laneOf("http new", 9900, 100, 11*time.Millisecond)}}
	b.Lanes[2].Stall = 25
	for _, r := range []*Report{&a, &b} {
		r.Started = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	}
	a.Verdict.Line, b.Verdict.Line = "PASS: 0 of 10,002 requests lost", "FAIL: 100 of 10,002 requests lost"
	b.Verdict.Void, a.Interrupted = true, true // as merged runs may be, and one that has failed before
	var text strings.Builder
	compared := Compare(a, b)
	compared.A.Name, compared.B.Name = "old.json", "new.json"
	if err := compared.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	golden(t, "compare.txt", text.String())

	rows := map[string]Compared{}
	for _, r := range Compare(a, b).Lanes[0].Rows {
		rows[r.What] = r
	}
	if r := rows["p50"]; !r.Differ || r.Ratio < 1.19 || r.Ratio > 1.21 {
		t.Errorf("50 ms and 60 ms: %+v", r)
	}
	if r := rows["loss rate"]; !r.Differ || r.Ratio != 0 || r.B.Value != 0.01 || r.B.Low < 0.008 || r.B.High > 0.0125 {
		t.Errorf("0 and 100 of 10,000: %+v", r)
	}
	if r := rows["longest stall"]; r.Differ || r.Ratio != 2 {
		t.Errorf("12.5 ms and 25 ms, one each: %+v", r)
	}
}

// There is nothing to warn of in two whole runs, and nothing to name them by but their time.
func TestCompareSides(t *testing.T) {
	var text strings.Builder
	if err := Compare(Report{}, Report{}).WriteText(&text); err != nil {
		t.Fatal(err)
	}
	got := text.String()
	if !strings.HasPrefix(got, "A: a run, begun 0001-01-01") || !strings.Contains(got, "\nB: a run, begun 0001-01-01") ||
		strings.Contains(got, "VOID") || strings.Contains(got, "INTERRUPTED") {
		t.Error(got)
	}
}

// A report never differs from itself, nor from the same with a few more losses than none.
func TestCompareIsNotFooledByChance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ok := rapid.Int64Range(0, 2000).Draw(t, "ok")
		a := Report{Lanes: []LaneReport{laneOf("a", ok, rapid.Int64Range(0, 5).Draw(t, "lost"), time.Millisecond)}}
		for _, r := range Compare(a, a).Lanes[0].Rows {
			if r.Differ || r.A.Low > r.A.Value || r.A.High < r.A.Value || r.A.Value != 0 && r.Ratio != 1 {
				t.Fatalf("%+v", r)
			}
		}
	})
	few := Compare(Report{Lanes: []LaneReport{laneOf("a", 1000, 0, 0)}}, Report{Lanes: []LaneReport{laneOf("a", 997, 3, 0)}})
	if r := few.Lanes[0].Rows[0]; r.Differ {
		t.Errorf("0 and 3 of 1,000: %+v", r)
	}
}
