package bench

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var agreed = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// drawReport is the report of a made-up run of a lane, with upgrades at 1 s and 2 s if asked for.
func drawReport(t *rapid.T, upgraded bool) Report {
	r := &run{
		Plan: Plan{Rate: 10, Lanes: []Lane{fake{name: "a"}}}.withDefaults(), seen: newGenerations(), started: agreed,
		ended: agreed.Add(3 * time.Second),
	}
	l := &laneRun{Lane: r.Lanes[0], recorder: newRecorder(1, r.LateAfter, &r.windows, r.seen)}
	l.recorder.begin(pacer{start: agreed, rate: r.Rate})
	r.lanes = []*laneRun{l}
	at := func(ms int) time.Time { return agreed.Add(time.Duration(ms) * time.Millisecond) }
	if upgraded {
		r.driver = &driver{finished: []Upgrade{{Number: 1, At: 1, Serving: 20}, {Number: 2, At: 2, Serving: 30}}}
		for _, u := range r.driver.finished {
			r.windows.open(at(int(1000 * u.At)))
			r.windows.close(at(int(1000*u.At) + 500))
		}
	}
	classes := []Class{OK, OK, OK, OK, ConnectRefused, WrongBytes, ClientPorts}
	for range rapid.IntRange(0, 20).Draw(t, "operations") {
		class := rapid.SampledFrom(classes).Draw(t, "class")
		due := rapid.IntRange(0, 2500).Draw(t, "due")
		o := outcome{due: at(due), end: at(due + rapid.IntRange(0, 900).Draw(t, "latency"))}
		o.Result = Result{
			Failure: Failure{Class: class}, Opened: 1, Renewed: rapid.Bool().Draw(t, "renewed"),
			Hidden: rapid.Bool().Draw(t, "hidden"), Duplicate: rapid.Bool().Draw(t, "duplicate"),
		}
		o.late = time.Duration(rapid.IntRange(0, 200).Draw(t, "late")) * time.Millisecond
		if class != OK {
			o.Err = errors.New("planted")
		}
		l.recorder.shard(0).record(o)
	}
	report := r.summary(nil)
	report.ClientWait = float64(drawn.Add(1)) / 1e6 // no two runs wait quite the same
	return report
}

var drawn atomic.Int64

func mustMerge(t interface{ Fatal(...any) }, reports ...Report) Report {
	sum, err := Merge(reports...)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func text(t interface{ Fatal(...any) }, r Report) string {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestMergeIsAssociativeAndCommutative(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		driver := rapid.IntRange(0, 3).Draw(t, "driver")
		a, b, c := drawReport(t, driver == 0), drawReport(t, driver == 1), drawReport(t, driver == 2)
		whole := text(t, mustMerge(t, a, b, c))
		ways := map[string]func() Report{
			"(a+b)+c": func() Report { return mustMerge(t, mustMerge(t, a, b), c) },
			"a+(b+c)": func() Report { return mustMerge(t, a, mustMerge(t, b, c)) },
			"c+b+a":   func() Report { return mustMerge(t, c, b, a) },
		}
		way := rapid.SampledFrom(slices.Sorted(maps.Keys(ways))).Draw(t, "way")
		if got := text(t, ways[way]()); got != whole {
			t.Fatalf("%s is\n%s\na+b+c is\n%s", way, got, whole)
		}
	})
}

func TestMergeOfOneIsTheSame(t *testing.T) {
	one := rapid.Custom(func(t *rapid.T) Report { return drawReport(t, true) })
	for seed := range 5 {
		r := one.Example(seed)
		alone := mustMerge(t, r)
		if alone.Verdict = r.Verdict; text(t, alone) != text(t, r) {
			t.Fatalf("merged alone it is\n%s\nand was\n%s", text(t, alone), text(t, r))
		}
	}
}

func TestMergeAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawReport(t, rapid.Bool().Draw(t, "upgraded")), drawReport(t, false)
		sum := mustMerge(t, a, b)
		la, lb, l := a.Lanes[0], b.Lanes[0], sum.Lanes[0]
		for what, n := range map[string][3]int64{
			"operations": {la.Operations, lb.Operations, l.Operations},
			"ok":         {la.OK, lb.OK, l.OK},
			"lost":       {la.Lost, lb.Lost, l.Lost},
			"limited":    {la.ClientLimited, lb.ClientLimited, l.ClientLimited},
			"reopened":   {la.Reopened, lb.Reopened, l.Reopened},
			"hidden":     {la.HiddenByRetry, lb.HiddenByRetry, l.HiddenByRetry},
			"duplicates": {la.Duplicates, lb.Duplicates, l.Duplicates},
			"late":       {la.Late, lb.Late, l.Late},
			"listed":     {int64(len(la.Losses)), int64(len(lb.Losses)), int64(len(l.Losses))},
			"lag":        {la.Lag.Count, lb.Lag.Count, l.Lag.Count},
			"requests":   {a.Verdict.Requests, b.Verdict.Requests, sum.Verdict.Requests},
		} {
			if n[0]+n[1] != n[2] {
				t.Fatalf("%s: %d and %d make %d", what, n[0], n[1], n[2])
			}
		}
		tied := sum.LostBefore
		for _, u := range sum.Upgrades {
			tied += u.Lost
		}
		var points, reopened, timed int64
		for _, p := range l.Series {
			points, reopened = points+p.Operations, reopened+p.Reopened
		}
		var ops, lost int64
		for _, w := range []Window{l.Before, l.During, l.After} {
			ops, lost, timed = ops+w.Operations, lost+w.Lost, timed+w.Latency.Count
		}
		if tied != l.Lost || points != l.Operations || reopened != l.Reopened || ops != l.Operations || lost != l.Lost || timed != l.OK {
			t.Fatalf("%d losses tied, %d operations in the series, %d in the windows with %d lost and %d timed, of %+v",
				tied, points, ops, lost, timed, l)
		}
		for i, loss := range l.Losses {
			if want := last(sum.Upgrades, loss.At); loss.Upgrade != want {
				t.Fatalf("loss %d at %g is tied to upgrade %d, want %d", i, loss.At, loss.Upgrade, want)
			}
		}
		if sum.Runs != 2 || sum.Rate != a.Rate+b.Rate || sum.Verdict.Lost != l.Lost {
			t.Fatalf("%+v", sum)
		}
	})
}

func last(upgrades []Upgrade, at float64) (number int) {
	for _, u := range upgrades {
		if u.At <= at {
			number = u.Number
		}
	}
	return number
}

func TestMergeRefuses(t *testing.T) {
	one := func(change func(*Report)) Report {
		r := Report{
			Version: SchemaVersion, Runs: 1, Started: agreed, Plan: "a, each at 10 op/s", Step: 1,
			Lanes: []LaneReport{{Name: "a"}},
		}
		change(&r)
		return r
	}
	good := one(func(*Report) {})
	for want, r := range map[string]Report{
		"began at": one(func(r *Report) { r.Started = agreed.Add(time.Second) }),
		`did not do the same: "a, each at 10 op/s" and "b"`: one(func(r *Report) { r.Plan = "b" }),
		"another version": one(func(r *Report) { r.Runs = 0 }),
		"a histogram of 7 operations has 0": one(func(r *Report) {
			r.Lanes[0].Before.Latency.Count = 7
		}),
		"a: decode histogram": one(func(r *Report) { r.Lanes[0].LagHistogram = "HISTFAAAA" }),
		"steps of 0 s":        one(func(r *Report) { r.Step = 0 }),
	} {
		if _, err := Merge(good, r); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "2") {
			t.Errorf("%v, want %q", err, want)
		}
	}
	driver := one(func(r *Report) { r.Upgrades = []Upgrade{{Number: 1}} })
	if _, err := Merge(good, driver, good, driver); err == nil || !strings.Contains(err.Error(), "reports 2 and 4: both upgraded") {
		t.Error(err)
	}
	measured := one(func(r *Report) { r.ClientWait = 0.25 })
	if _, err := Merge(measured, good, measured); err == nil || !strings.Contains(err.Error(), "reports 1 and 3: they are the same") {
		t.Error(err)
	}
	if _, err := Merge(); err == nil {
		t.Error("nothing was merged")
	}
}

func TestMergeOfAVoidRunIsVoid(t *testing.T) {
	r := Report{Version: SchemaVersion, Runs: 1, Started: agreed, Step: 1, Lanes: []LaneReport{{Name: "a", Operations: 5, OK: 5}}}
	void := r
	void.Verdict = Verdict{Void: true, VoidRuns: 1}
	v := mustMerge(t, r, void, r).Verdict
	if !v.Void || v.Pass || v.VoidRuns != 1 || v.Line != "VOID: in 1 of 3 runs: 0 of 15 requests lost" {
		t.Errorf("%+v", v)
	}
	if v := mustMerge(t, r, r).Verdict; v.Void || !v.Pass {
		t.Errorf("%+v", v)
	}
}

// A second machine's losses and latencies are tied to the upgrades of the one that drives them.
func TestMergeTiesToTheDriversUpgrades(t *testing.T) {
	driver := Report{
		Version: SchemaVersion, Runs: 1, Started: agreed, Step: 1, Lanes: []LaneReport{{Name: "a"}},
		Upgrades: []Upgrade{{Number: 1, At: 2.5, Until: 2.9}, {Number: 2, At: 5.5, Until: 6.1}},
	}
	other := driver
	other.Upgrades = []Upgrade{}
	other.LostBefore = 3
	s := newSeries()
	for i := range 8 {
		s.add(time.Duration(i)*time.Second, Result{Failure: Failure{Class: OK}}, time.Millisecond)
	}
	lose := func(at float64) Loss {
		s.add(time.Duration(at*1e9), Result{Failure: Failure{Class: WrongBytes}}, 0)
		return Loss{Failure: Failure{Class: WrongBytes}, At: at, Latency: 100}
	}
	other.Lanes = []LaneReport{{Name: "a", Operations: 11, OK: 8, Lost: 3, Losses: []Loss{lose(1), lose(2.95), lose(4)}, Series: s.points()}}
	got := mustMerge(t, driver, other)
	l := got.Lanes[0]
	if got.LostBefore != 1 || got.Upgrades[0].Lost != 2 || got.Upgrades[1].Lost != 0 {
		t.Errorf("%d lost before, %+v", got.LostBefore, got.Upgrades)
	}
	if l.Before.OK != 2 || l.During.OK != 3 || l.After.OK != 3 || l.Before.Lost != 1 || l.During.Lost != 1 || l.After.Lost != 1 {
		t.Errorf("%+v\n%+v\n%+v", l.Before, l.During, l.After)
	}
	if l.Losses[0].Upgrade != 0 || l.Losses[1].Upgrade != 1 || !l.Losses[1].Within || l.Losses[2].Upgrade != 1 || l.Losses[2].Within {
		t.Errorf("%+v", l.Losses)
	}
}
