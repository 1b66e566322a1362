package bench

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// The references are those of R's binom.test, but for those that have a closed form.
func TestLossBound(t *testing.T) {
	for _, c := range []struct {
		lost, n    int64
		confidence float64
		want       float64
	}{
		{0, 1_204_311, 0.95, 1 - math.Pow(0.05, 1.0/1_204_311)},
		{0, 1, 0.95, 0.95},
		{1, 2, 0.95, math.Sqrt(0.95)}, // P(X <= 1) = 1 - p^2
		{1, 2, 0.5, math.Sqrt(0.5)},
		{99, 100, 0.95, math.Pow(0.95, 0.01)}, // P(X <= 99) = 1 - p^100
		{1, 10, 0.95, 0.39416},
		{5, 100, 0.975, 0.112835},
		{50, 100, 0.975, 0.60168},
		{0, 0, 0.95, 1},
		{7, 7, 0.95, 1},
	} {
		if got := lossBound(c.lost, c.n, c.confidence); math.Abs(got-c.want) > 1e-5*c.want {
			t.Errorf("%d of %d at %g: under %g, want %g", c.lost, c.n, c.confidence, got, c.want)
		}
	}
	if got := lossFloor(5, 100, 0.975); math.Abs(got-0.01643) > 1e-5 {
		t.Errorf("5 of 100: over %g", got)
	}
	if got := lossFloor(0, 100, 0.975); got != 0 {
		t.Errorf("0 of 100: over %g", got)
	}
}

// TestLossBoundIsExact: at the bound, as few losses as were seen have just the probability that is left.
func TestLossBoundIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(1, 3_000_000).Draw(t, "n")
		lost := rapid.Int64Range(0, min(n-1, 60)).Draw(t, "lost")
		p := lossBound(lost, n, confidence)
		lgamma := func(x int64) float64 { v, _ := math.Lgamma(float64(x) + 1); return v }
		var atMost float64
		for k := int64(0); k <= lost; k++ {
			atMost += math.Exp(lgamma(n) - lgamma(k) - lgamma(n-k) + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p))
		}
		if math.Abs(atMost-0.05) > 1e-5 {
			t.Fatalf("%d of %d: under %g, where at most so many have the probability %g", lost, n, p, atMost)
		}
	})
}

func TestLossText(t *testing.T) {
	lane := func(lost, n int64) LaneReport {
		return LaneReport{OK: n - lost, Lost: lost, LossBound: lossBound(lost, n, confidence)}
	}
	for want, l := range map[string]LaneReport{
		"0 of 1,204,311: under 2.5e-6 at 95 %": lane(0, 1_204_311),
		"0 of 0: under 1 at 95 %":              lane(0, 0),
		"1 of 10: under 0.4 at 95 %":           lane(1, 10),
		"3 of 100,000: under 7.8e-5 at 95 %":   lane(3, 100_000),
		"0 of 300: under 0.01 at 95 %":         lane(0, 300),
	} {
		if got := l.LossText(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	r := Report{Lanes: []LaneReport{lane(0, 600_000), lane(0, 604_311)}}
	if got, want := r.LossText(), "0 of 1,204,311: under 2.5e-6 at 95 %"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
