package bench

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestRecorderAddsUp: however operations are spread over workers, a lane's sums are those of one list.
func TestRecorderAddsUp(t *testing.T) {
	classes := []Class{OK, OK, OK, ConnectRefused, EOFBeforeResponse, ConnectionCut, ClientPorts, ClientBacklog}
	rapid.Check(t, func(t *rapid.T) {
		workers := rapid.IntRange(1, 20).Draw(t, "workers")
		rec := newRecorder(workers, 10*time.Millisecond)
		recent := newHistogram()
		var want tally
		want.failures = map[Failure]failed{}
		var steady, upgrading, lost int64
		for range rapid.IntRange(0, 50).Draw(t, "operations") {
			shard := rec.shard(rapid.IntRange(0, workers-1).Draw(t, "worker"))
			r := Result{
				Failure: Failure{Class: rapid.SampledFrom(classes).Draw(t, "class")},
				Opened:  rapid.IntRange(0, 1).Draw(t, "opened"),
				Renewed: rapid.Bool().Draw(t, "renewed"),
			}
			latency := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "latency"))
			late := time.Duration(rapid.Int64Range(0, int64(20*time.Millisecond)).Draw(t, "late"))
			within := rapid.Bool().Draw(t, "within")
			if r.Class != OK {
				r.Err = errors.New(string(r.Class))
				want.fail(r.Failure, r.Err.Error())
			} else if within {
				upgrading++
			} else {
				steady++
			}
			if r.Class.Lost() {
				lost++
			}
			want.done++
			want.connections(r)
			if late > 10*time.Millisecond {
				want.late++
			}
			want.latest = max(want.latest, late)
			shard.record(r, latency, late, within)
		}
		got := rec.total()
		if got.done != want.done || got.ok != steady+upgrading || got.opened != want.opened || got.renewed != want.renewed ||
			got.late != want.late || got.latest != want.latest || got.lost() != lost {
			t.Fatalf("total %+v, want %+v", got, want)
		}
		if got.steady.TotalCount() != steady || got.upgrading.TotalCount() != upgrading {
			t.Fatalf("%d steady and %d upgrading, want %d and %d", got.steady.TotalCount(), got.upgrading.TotalCount(), steady, upgrading)
		}
		for why, f := range want.failures {
			if got.failures[why] != f {
				t.Fatalf("%v: %+v, want %+v", why, got.failures[why], f)
			}
		}
		if done, l := rec.tick(recent); done != want.done || l != lost || recent.TotalCount() != steady+upgrading {
			t.Fatalf("tick: %d done, %d lost, %d with a latency", done, l, recent.TotalCount())
		}
		recent.Reset()
		if rec.tick(recent); recent.TotalCount() != 0 {
			t.Fatal("a second tick sees the first one's latencies")
		}
	})
}
