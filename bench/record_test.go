package bench

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// testRecorder returns a recorder for a run that begins now, at 1,000 operations a second.
func testRecorder(workers int, lateAfter time.Duration) *recorder {
	r := newRecorder(workers, lateAfter, &timeline{}, newGenerations())
	r.begin(pacer{start: time.Now(), rate: 1000})
	return r
}

// TestRecorderAddsUp: however operations are spread over workers, a lane's sums are those of one list.
func TestRecorderAddsUp(t *testing.T) {
	classes := []Class{OK, OK, OK, ConnectRefused, EOFBeforeResponse, ConnectionCut, ClientPorts, ClientBacklog}
	rapid.Check(t, func(t *rapid.T) {
		workers := rapid.IntRange(1, 20).Draw(t, "workers")
		rec := testRecorder(workers, 10*time.Millisecond)
		at := func(s int) time.Time { return rec.start.Add(time.Duration(s) * time.Second) }
		rec.windows.open(at(10))
		rec.windows.close(at(20))
		recent := newHistogram()
		want := newTally()
		var hidden, refused, twice int64
		for range rapid.IntRange(0, 50).Draw(t, "operations") {
			shard := rec.shard(rapid.IntRange(0, workers-1).Draw(t, "worker"))
			r := Result{
				Failure:   Failure{Class: rapid.SampledFrom(classes).Draw(t, "class")},
				Opened:    rapid.IntRange(0, 1).Draw(t, "opened"),
				Renewed:   rapid.Bool().Draw(t, "renewed"),
				Hidden:    rapid.Bool().Draw(t, "hidden"),
				Refused:   rapid.Bool().Draw(t, "refused"),
				Duplicate: rapid.Bool().Draw(t, "duplicate"),
			}
			due := rapid.IntRange(0, 40).Draw(t, "due")
			end := due + rapid.IntRange(0, 40).Draw(t, "latency")
			late := time.Duration(rapid.Int64Range(0, int64(20*time.Millisecond)).Draw(t, "late"))
			where := during
			switch {
			case end < 10:
				where = before
			case due > 20:
				where = after
			}
			if r.Class != OK {
				r.Err = errors.New(string(r.Class))
				want.fail(r.Failure, r.Err.Error())
			} else {
				want.parts[where].latency.add(time.Duration(end-due) * time.Second)
			}
			want.ended(r.Failure, where)
			want.connections(r)
			if r.Hidden && r.Class.Lost() {
				hidden++
			}
			if r.Refused && r.Class.Lost() {
				refused++
			}
			if r.Duplicate {
				twice++
			}
			if late > 10*time.Millisecond {
				want.late++
			}
			want.latest = max(want.latest, late)
			shard.record(outcome{Result: r, due: at(due), end: at(end), late: late})
		}
		got := rec.total()
		if got.done != want.done || got.ok != want.ok || got.opened != want.opened || got.renewed != want.renewed ||
			got.late != want.late || got.latest != want.latest || got.lost() != want.lost() || got.hidden != hidden ||
			got.refused != refused || got.duplicates != twice || got.lag.TotalCount() != want.done {
			t.Fatalf("total %+v, want %+v", got, want)
		}
		for i, p := range got.parts {
			w := want.parts[i]
			if p.done != w.done || p.ok != w.ok || p.lost != w.lost || p.limited != w.limited || !p.latency.Equals(w.latency.Histogram) {
				t.Fatalf("part %d: %+v, want %+v", i, p, w)
			}
		}
		for why, f := range want.failures {
			if got.failures[why] != f {
				t.Fatalf("%v: %+v, want %+v", why, got.failures[why], f)
			}
		}
		listed, omitted := rec.losses.report()
		if int64(len(listed)) != want.lost() || omitted != 0 {
			t.Fatalf("%d losses listed and %d omitted of %d", len(listed), omitted, want.lost())
		}
		var done, lost, reopened, timed int64
		for _, p := range rec.series.steps {
			done, lost, reopened, timed = done+p.done, lost+p.lost, reopened+p.reopened, timed+p.latency.TotalCount()
		}
		if done != want.done || lost != want.lost() || reopened != want.renewed || timed != want.ok {
			t.Fatalf("the series has %d done, %d lost, %d reopened, %d timed", done, lost, reopened, timed)
		}
		if done, l := rec.tick(recent); done != want.done || l != want.lost() || recent.TotalCount() != want.ok {
			t.Fatalf("tick: %d done, %d lost, %d with a latency", done, l, recent.TotalCount())
		}
		recent.Reset()
		if rec.tick(recent); recent.TotalCount() != 0 {
			t.Fatal("a second tick sees the first one's latencies")
		}
	})
}

func TestLossesKnowTheirUpgradeAndGeneration(t *testing.T) {
	rec := testRecorder(1, time.Second)
	at := func(s int) time.Time { return rec.start.Add(time.Duration(s) * time.Second) }
	lose := func(due, end int, generation string) {
		rec.shard(0).record(outcome{
			Result: Result{
				Failure: Failure{ResetBeforeResponse, "ECONNRESET"}, Err: errors.New("read: reset"), Generation: generation,
				Hidden: true, Refused: true, Duplicate: true,
			},
			due: at(due), end: at(end),
		})
	}
	rec.seen.saw("5", at(0), at(0))
	lose(1, 2, "")
	rec.windows.open(at(10))
	rec.windows.close(at(12))
	lose(9, 11, "6")
	lose(13, 14, "")
	got, _ := rec.losses.report()
	want := func(at, latency float64, upgrade int, within bool, generation string) Loss {
		return Loss{
			Failure: Failure{ResetBeforeResponse, "ECONNRESET"}, At: at, Latency: latency, Upgrade: upgrade, Within: within,
			Generation: generation, Hidden: true, Refused: true, Duplicate: true, Sample: "read: reset",
		}
	}
	for i, w := range []Loss{want(2, 1000, 0, false, "5"), want(11, 2000, 1, true, "6"), want(14, 1000, 1, false, "5")} {
		if got[i] != w {
			t.Errorf("loss %d is %+v\nwant %+v", i, got[i], w)
		}
	}
}

func TestLossesAreBounded(t *testing.T) {
	var l losses
	for i := range LossesPerClass + 5 {
		l.add(Loss{Failure: Failure{Class: WrongBytes}, At: float64(-i)})
	}
	l.add(Loss{Failure: Failure{Class: WrongStatus}, At: 1})
	got, omitted := l.report()
	if len(got) != LossesPerClass+1 || omitted != 5 || got[LossesPerClass].Class != WrongStatus || got[0].At != 1-LossesPerClass {
		t.Errorf("%d kept from %+v on, %d omitted", len(got), got[0], omitted)
	}
}
