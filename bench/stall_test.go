package bench

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestStall(t *testing.T) {
	start := time.Now()
	at := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	for _, c := range []struct {
		name          string
		rate          float64
		offset        time.Duration
		success       []float64
		end           float64
		longest, from float64
	}{
		{"none", 1, 0, []float64{0, 1, 2, 3}, 3, 0, 0},
		{"slow answers", 1, 0, []float64{0.1, 1.3, 2.2}, 3, 0.3, 1},
		{"in the middle", 10, 0, []float64{0.01, 0.11, 2.11, 2.21}, 2.3, 1.91, 0.2},
		{"out of order", 10, 0, []float64{0.01, 2.11, 0.11, 2.21}, 2.3, 2.01, 0.1},
		{"from the beginning", 10, 50 * time.Millisecond, []float64{5}, 5, 4.95, 0.05},
		{"to the end", 10, 0, []float64{0.01}, 7, 6.9, 0.1},
		{"no success at all", 10, 0, nil, 7, 7, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := stall{pace: pacer{start: start, rate: c.rate, offset: c.offset}}
			for _, when := range c.success {
				s.success(at(when), 0)
			}
			s.finish(at(c.end))
			near := func(got time.Duration, want float64) bool {
				return (got - time.Duration(want*float64(time.Second))).Abs() < time.Microsecond
			}
			if !near(s.longest, c.longest) || c.longest > 0 && !near(s.from.Sub(start), c.from) {
				t.Errorf("%v from %v on, want %g s from %g on", s.longest, s.from.Sub(start), c.longest, c.from)
			}
		})
	}
}

func TestPacerAfter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := pacer{
			start:  time.Now(),
			rate:   rapid.Float64Range(0.1, 1e6).Draw(t, "rate"),
			offset: time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "offset")),
		}
		at := p.start.Add(time.Duration(rapid.Int64Range(-int64(time.Hour), int64(time.Hour)).Draw(t, "at")))
		got := p.after(at)
		if !got.After(at) {
			t.Fatalf("%v is not after %v", got, at)
		}
		if period := time.Duration(1 / p.rate * float64(time.Second)); got.After(p.due(1)) && got.Sub(at) > period+2 {
			t.Fatalf("%v after %v, though one falls due every %v", got.Sub(at), at, period)
		}
	})
}
