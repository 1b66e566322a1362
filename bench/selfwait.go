package bench

import (
	"math"
	"runtime/metrics"
	"slices"
	"time"
)

// selfWait measures how long this process's own goroutines wait for a CPU. A client that is short of CPU is late at
// every step of an operation, not only at its beginning, and without this its own slowness would pass for the server's.
type selfWait struct {
	before []uint64
}

func (s *selfWait) begin() { s.before = slices.Clone(schedLatencies().Counts) }

// p99 returns the wait under which 99 % of those since begin lay.
func (s *selfWait) p99() time.Duration {
	now := schedLatencies()
	since := slices.Clone(now.Counts)
	for i := range s.before {
		since[i] -= s.before[i]
	}
	return time.Duration(quantile(since, now.Buckets, 0.99) * float64(time.Second))
}

func schedLatencies() *metrics.Float64Histogram {
	sample := []metrics.Sample{{Name: "/sched/latencies:seconds"}}
	metrics.Read(sample)
	return sample[0].Value.Float64Histogram()
}

// quantile returns the finite bound of the bucket in which the quantile lies, or 0 if all buckets are empty. Bucket i
// lies between bounds i and i+1.
func quantile(counts []uint64, bounds []float64, q float64) float64 {
	var total, below uint64
	for _, n := range counts {
		total += n
	}
	if total == 0 {
		return 0
	}
	for i, n := range counts {
		below += n
		if float64(below) >= q*float64(total) {
			if math.IsInf(bounds[i+1], 1) {
				return bounds[i]
			}
			return bounds[i+1]
		}
	}
	return 0
}
