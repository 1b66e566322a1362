package bench

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
)

func TestSeries(t *testing.T) {
	s := newSeries()
	ok, bad := Result{Failure: Failure{Class: OK}, Renewed: true}, Result{Failure: Failure{Class: WrongBytes}}
	own := Result{Failure: Failure{Class: ClientBacklog}}
	s.add(-time.Millisecond, ok, time.Millisecond)
	s.add(999*time.Millisecond, ok, 3*time.Millisecond)
	s.add(3*time.Second, bad, time.Hour)
	s.add(3*time.Second, own, time.Hour)
	s.add(500*time.Millisecond, bad, time.Hour) // a straggler
	got := s.points()
	if len(got) != 4 {
		t.Fatalf("%d points: %+v", len(got), got)
	}
	for i, p := range got {
		if p.At != float64(i) {
			t.Errorf("point %d is at %g", i, p.At)
		}
	}
	first := got[0]
	if first.Operations != 3 || first.Lost != 1 || first.Reopened != 2 || first.Max < 2.99 || first.Max > 3.02 || first.Histogram == "" {
		t.Errorf("%+v", first)
	}
	if want := (Point{At: 1}); got[1] != want {
		t.Errorf("nothing happened, and the point is %+v", got[1])
	}
	if want := (Point{At: 3, Operations: 2, Lost: 1}); got[3] != want {
		t.Errorf("%+v, want %+v", got[3], want)
	}
}

func TestSeriesCoarsens(t *testing.T) {
	s := newSeries()
	const length = 2*longestSeries + 7 // seconds
	for i := range length {
		s.add(time.Duration(i)*time.Second, Result{Failure: Failure{Class: OK}}, time.Duration(i+1)*time.Microsecond)
	}
	if s.step != 4*time.Second || len(s.steps) != (length+3)/4 {
		t.Fatalf("%d steps of %v", len(s.steps), s.step)
	}
	for i, step := range s.steps[:length/4] {
		if most, want := float64(step.latency.Max()), float64(4*i+4); step.done != 4 || most < want || most > 1.01*want {
			t.Fatalf("step %d: %d operations of up to %g µs, want 4 of up to %g", i, step.done, most, want)
		}
	}
	if s.steps = s.steps[:2]; s.points()[1].At != 4 {
		t.Errorf("the second point is at %g s", s.points()[1].At)
	}
}

// TestAnHourStaysSmall feeds a lane with an hour of operations, a good many losses among them, as fast as they will go,
// and looks at the heap. Fourteen such lanes stay under 300 MB.
func TestAnHourStaysSmall(t *testing.T) {
	const perSecond, hour, most = 100, 3600, 300 << 20 / 14
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	was := heap()
	r := &run{Plan: Plan{Rate: perSecond}.withDefaults(), seen: newGenerations(), started: time.Now()}
	l := &laneRun{Lane: fake{name: "a"}, recorder: newRecorder(r.Outstanding, r.LateAfter, &r.windows, r.seen)}
	l.recorder.begin(pacer{start: r.started, rate: perSecond})
	r.lanes = append(r.lanes, l)
	rng := rand.New(rand.NewPCG(1, 2))
	lost := errors.New("read tcp 127.0.0.1:12345->127.0.0.1:8080: read: connection reset by peer")
	for i := range hour * perSecond {
		due := r.started.Add(time.Duration(i) * time.Second / perSecond)
		latency := time.Duration(200_000 * (0.5 + rng.ExpFloat64()))
		o := outcome{Result: Result{Failure: Failure{Class: OK}}, due: due, end: due.Add(latency), late: latency / 10}
		if i%perSecond == 0 {
			o.Result = Result{Failure: Failure{ResetBeforeResponse, "ECONNRESET"}, Err: lost}
		}
		l.recorder.shard(i).record(o)
	}
	r.ended = r.started.Add(hour * time.Second)
	recorded := heap() - was
	report := r.summary(nil)
	text, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	whole := heap() - was
	t.Logf("an hour of a lane: %.1f MB recorded, %.1f MB with its report, %.1f MB of it JSON",
		float64(recorded)/(1<<20), float64(whole)/(1<<20), float64(len(text))/(1<<20))
	if whole > most {
		t.Errorf("that is more than %d MB", most>>20)
	}
	if n := len(report.Lanes[0].Series); n != hour || report.Lanes[0].LossesOmitted != hour-LossesPerClass {
		t.Errorf("%d points, %d losses omitted", n, report.Lanes[0].LossesOmitted)
	}
	runtime.KeepAlive(r)
}
