package bench

import (
	"testing"
	"time"
)

func TestDueDoesNotDrift(t *testing.T) {
	start := time.Now()
	for _, rate := range []float64{0.5, 3, 400, 7777, 1e6} {
		p := pacer{start: start, rate: rate, offset: time.Millisecond}
		if got := p.due(1).Sub(start); got != time.Millisecond {
			t.Errorf("rate %g: the first is due after %v", rate, got)
		}
		const seconds = 3600
		got := p.due(1+int64(seconds*rate)).Sub(start) - time.Millisecond
		if off := (got - seconds*time.Second).Abs(); off > time.Microsecond {
			t.Errorf("rate %g: off by %v after an hour", rate, off)
		}
	}
}

func TestDispatchTakesTurnsAndNeverWaits(t *testing.T) {
	queues := []chan op{make(chan op, 2), make(chan op, 2), make(chan op, 2)}
	stop := make(chan struct{})
	p := pacer{start: time.Now(), rate: 1e5}
	var over []int64
	p.dispatch(stop, queues, func(o op) {
		over = append(over, o.seq)
		if len(over) == 3 {
			close(stop)
		}
	})
	for i, q := range queues {
		close(q)
		want := int64(i + 1)
		for o := range q {
			if o.seq != want || o.due != p.due(want) {
				t.Errorf("queue %d holds operation %d due %v, want %d due %v", i, o.seq, o.due, want, p.due(want))
			}
			want += 3
		}
		if want != int64(i+7) {
			t.Errorf("queue %d held fewer than 2", i)
		}
	}
	for i, seq := range over {
		if seq != int64(7+i) {
			t.Errorf("overflow %v, want 7, 8, 9", over)
		}
	}
}

func TestWaitUntilIsNeverEarlyAndStops(t *testing.T) {
	clock := newAlarm()
	defer clock.close()
	for _, d := range []time.Duration{-time.Second, 0, 100 * time.Microsecond, 3 * time.Millisecond, 30 * time.Millisecond} {
		at := time.Now().Add(d)
		if !waitUntil(clock, at, nil) || time.Now().Before(at) {
			t.Errorf("woke %v early", time.Until(at))
		}
	}
	stop := make(chan struct{})
	close(stop)
	for _, d := range []time.Duration{-time.Second, time.Millisecond, time.Hour} {
		if waitUntil(clock, time.Now().Add(d), stop) {
			t.Errorf("slept %v though stopped", d)
		}
	}
}
