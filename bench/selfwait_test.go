package bench

import (
	"math"
	"testing"
)

func TestQuantile(t *testing.T) {
	bounds := []float64{math.Inf(-1), 1, 2, 3, math.Inf(1)}
	for _, c := range []struct {
		counts []uint64
		q      float64
		want   float64
	}{
		{[]uint64{0, 0, 0, 0}, 0.99, 0},
		{[]uint64{99, 1, 0, 0}, 0.99, 1},
		{[]uint64{98, 2, 0, 0}, 0.99, 2},
		{[]uint64{0, 0, 5, 0}, 0.5, 3},
		{[]uint64{0, 0, 0, 5}, 0.5, 3},
	} {
		if got := quantile(c.counts, bounds, c.q); got != c.want {
			t.Errorf("%v: %g at %g, want %g", c.counts, got, c.q, c.want)
		}
	}
}

func TestSelfWaitCountsFromItsBeginning(t *testing.T) {
	var s selfWait
	s.begin()
	if s.before == nil {
		t.Fatal("the runtime has no such metric any more")
	}
	for i, n := range schedLatencies().Counts {
		if n < s.before[i] {
			t.Errorf("bucket %d falls from %d to %d", i, s.before[i], n)
		}
	}
}
