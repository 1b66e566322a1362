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

func (h histogram) add(d time.Duration) {
	d = min(max(d, time.Microsecond), longestRecorded)
	h.RecordValue(d.Microseconds()) // cannot fail within these bounds
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
