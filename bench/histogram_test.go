package bench

import (
	"testing"
	"time"
)

func TestHistogram(t *testing.T) {
	h := newHistogram()
	if got := h.latency(); got != (Latency{}) {
		t.Errorf("empty: %+v", got)
	}
	for i := range 1000 {
		h.add(time.Duration(i+1) * time.Millisecond)
	}
	more := newHistogram()
	more.add(0)
	more.add(24 * time.Hour)
	h.merge(more)
	got := h.latency()
	near := func(name string, ms, want float64) {
		t.Helper()
		if ms < want*0.999 || ms > want*1.002 {
			t.Errorf("%s is %g ms, want %g to three digits", name, ms, want)
		}
	}
	near("p50", got.P50, 500)
	near("p99", got.P99, 991)
	near("p99.9", got.P999, 1000)
	near("max", got.Max, float64(longestRecorded.Milliseconds()))
	if got.Count != 1002 {
		t.Errorf("%d counted", got.Count)
	}
}
