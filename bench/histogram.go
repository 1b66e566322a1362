package bench

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// histogram counts durations from a microsecond to ten minutes with three significant digits.
type histogram struct{ *hdrhistogram.Histogram }

const longestRecorded = 10 * time.Minute

func newHistogram() histogram {
	return histogram{hdrhistogram.New(1, longestRecorded.Microseconds(), 3)}
}

// newCoarse returns a histogram with two significant digits, which takes an eighth of the memory.
func newCoarse() histogram {
	return histogram{hdrhistogram.New(1, longestRecorded.Microseconds(), 2)}
}

// microseconds is what a histogram counts a duration as.
func microseconds(d time.Duration) int64 {
	return min(max(d, time.Microsecond), longestRecorded).Microseconds()
}

func (h histogram) add(d time.Duration) {
	h.RecordValue(microseconds(d)) // cannot fail within these bounds
}

func (h histogram) merge(other histogram) {
	h.Merge(other.Histogram)
}

// quantile returns the latency under which the given percentage of operations lies, or 0 if there are none.
func (h histogram) quantile(percent float64) time.Duration {
	if h.TotalCount() == 0 {
		return 0
	}
	return time.Duration(h.ValueAtQuantile(percent)) * time.Microsecond
}

func (h histogram) latency() Latency {
	return Latency{
		Count: h.TotalCount(),
		P50:   ms(h.quantile(50)),
		P99:   ms(h.quantile(99)),
		P999:  ms(h.quantile(99.9)),
		Max:   ms(h.quantile(100)),
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
