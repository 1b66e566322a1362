package relay

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Every armed timer comes up, once, no earlier than asked for unless that was out of reach, and no later than the first
// look after it.
func TestWheel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w wheel
		due := make(map[*Relay]time.Duration)
		now := time.Duration(rapid.IntRange(0, 1e9).Draw(t, "now"))
		t.Repeat(map[string]func(*rapid.T){
			"arm": func(t *rapid.T) {
				r := new(Relay)
				r.timer.r = r
				at := now + time.Duration(rapid.Int64Range(-1e9, int64(2*wheelSlots*wheelTick)).Draw(t, "in"))
				w.arm(&r.timer, at, now)
				due[r] = max(at, now)
			},
			"disarm": func(t *rapid.T) {
				for r := range due {
					w.disarm(&r.timer)
					w.disarm(&r.timer)
					delete(due, r)
					break
				}
			},
			"wait": func(t *rapid.T) {
				d := w.wait(now)
				if (d < 0) != (len(due) == 0) || d > wheelTick {
					t.Fatalf("waits %v with %d timers", d, len(due))
				}
			},
			"pass": func(t *rapid.T) {
				now += time.Duration(rapid.SampledFrom([]int64{1, 1e6, 1e8, 1e10, 1e11}).Draw(t, "time"))
				w.expire(now, func(r *Relay) {
					at, ok := due[r]
					if !ok {
						t.Fatal("came up unasked")
					}
					if at > now { // what a lazy owner does
						w.arm(&r.timer, at, now)
						return
					}
					delete(due, r)
				})
				var late []time.Duration
				for _, at := range due {
					if at <= now-2*wheelTick {
						late = append(late, now-at)
					}
				}
				if len(late) > 0 {
					t.Fatalf("late by %v", slices.Max(late))
				}
			},
		})
		if w.armed != len(due) {
			t.Fatalf("%d armed, want %d", w.armed, len(due))
		}
	})
}
