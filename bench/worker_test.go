package bench

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

func testWorker(do func(seq int64, deadline time.Time) Result) (*worker, *shard) {
	s := testRecorder(1, 3*time.Minute).shards[0]
	return &worker{
		client: fake{do: do}, timeout: time.Second, shard: s,
		seen: s.of.seen, giveUp: &atomic.Int64{},
	}, s
}

func queue(due ...time.Time) chan op {
	q := make(chan op, len(due))
	for i, at := range due {
		q <- op{seq: int64(i + 1), due: at}
	}
	close(q)
	return q
}

// All three were due five minutes ago. The first is late since nobody took it, which is the client's doing. The others
// waited for the connection, which is not; they are as long in coming all the same.
func TestLatencyBeginsWhenDue(t *testing.T) {
	w, s := testWorker(nil)
	due := time.Now().Add(-5 * time.Minute)
	w.run(t.Context(), queue(due, due, due))
	if s.ok != 3 || s.late != 1 {
		t.Errorf("%d of %d operations are late, want 1 of 3", s.late, s.ok)
	}
	if least := time.Duration(s.parts[before].latency.Min()) * time.Microsecond; least < 299*time.Second {
		t.Errorf("the least latency is %v", least)
	}
}

func TestWorkerTiesOperationsToUpgrades(t *testing.T) {
	w, s := testWorker(func(seq int64, _ time.Time) Result {
		if seq == 2 {
			return Result{Failure: Failure{Class: EOFBeforeResponse}, Err: errors.New("EOF")}
		}
		return Result{Failure: Failure{Class: OK}, Generation: "7", Dialled: time.Now()}
	})
	s.of.windows.open(time.Now())
	w.run(t.Context(), queue(time.Now(), time.Now()))
	s.of.windows.close(time.Now().Add(-time.Minute)) // as if it had been over long before what comes now
	w.run(t.Context(), queue(time.Now()))
	within, later := s.parts[during], s.parts[after]
	if within.ok != 1 || later.ok != 1 || s.of.windows.windows[0].losses != 1 || within.lost != 1 || w.seen.now() != "7" {
		t.Errorf("%+v within, %+v later, %+v, generation %q", within, later, s.of.windows.windows, w.seen.now())
	}
}

func TestWorkerForgetsWhatItBrokeOff(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w, s := testWorker(func(int64, time.Time) Result {
		cancel()
		return Result{Failure: Failure{Class: ResponseTimeout}, Err: errors.New("timeout")}
	})
	w.run(ctx, queue(time.Now(), time.Now()))
	if s.done != 0 {
		t.Errorf("%d counted", s.done)
	}
}

func TestWorkerGivesUpAfterTheRun(t *testing.T) {
	w, s := testWorker(func(int64, time.Time) Result { panic("sent") })
	w.giveUp.Store(time.Now().Add(-time.Second).UnixNano())
	w.run(t.Context(), queue(time.Now(), time.Now()))
	if s.done != 2 || s.failures[Failure{Class: ClientBacklog}].count != 2 {
		t.Errorf("%d counted: %v", s.done, s.failures)
	}
}
