package bench

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	seriesStep = time.Second
	// longestSeries is how many steps a series has before its step is doubled: an hour's seconds. One takes about a
	// kilobyte.
	longestSeries = 3600
)

// series counts a lane's operations by the step of time in which they were over. Its memory does not grow with the
// number of operations, nor with the length of the run beyond longestSeries steps.
type series struct {
	mu    sync.Mutex
	step  time.Duration
	steps []*interval
}

// interval is one step. Its histogram is sparse: within one second, latencies lie close together.
type interval struct {
	done, lost, reopened int64
	latency              *hdrhistogram.PackedHistogram
}

func newSeries() *series { return &series{step: seriesStep} }

func newInterval() *interval {
	return &interval{latency: hdrhistogram.NewPacked(1, longestRecorded.Microseconds(), 2)}
}

// add counts an operation that was over at the given time from the start of the run.
func (s *series) add(at time.Duration, r Result, latency time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.at(at)
	i.done++
	if r.Renewed {
		i.reopened++
	}
	switch {
	case r.Class == OK:
		i.latency.RecordValue(microseconds(latency)) // cannot fail within these bounds
	case r.Class.Lost():
		i.lost++
	}
}

func (s *series) at(at time.Duration) *interval {
	for at/s.step >= longestSeries {
		s.coarsen()
	}
	i := int(max(at, 0) / s.step)
	for len(s.steps) <= i {
		if n := len(s.steps); n > 1 {
			s.steps[n-2].latency.Compact() // over, but for stragglers
		}
		s.steps = append(s.steps, newInterval())
	}
	return s.steps[i]
}

// coarsen makes one step of every two.
func (s *series) coarsen() {
	var half []*interval
	for i, next := range s.steps {
		if i%2 == 0 {
			half = append(half, next)
			continue
		}
		half[i/2].merge(next)
	}
	s.steps, s.step = half, 2*s.step
}

func (i *interval) merge(other *interval) {
	i.done += other.done
	i.lost += other.lost
	i.reopened += other.reopened
	i.latency.Merge(other.latency)
}

// points returns the series as it stands in a report.
func (s *series) points() []Point {
	s.mu.Lock()
	defer s.mu.Unlock()
	points := make([]Point, 0, len(s.steps))
	for i, step := range s.steps {
		points = append(points, step.point(time.Duration(i)*s.step))
	}
	return points
}

func (i *interval) point(at time.Duration) Point {
	p := Point{At: at.Seconds(), Operations: i.done, Lost: i.lost, Reopened: i.reopened}
	if i.latency.TotalCount() == 0 {
		return p
	}
	values := i.latency.ValueAtPercentilesSlice([]float64{50, 99})
	p.P50, p.P99, p.Max = msOf(values[0]), msOf(values[1]), msOf(i.latency.Max())
	dense := newCoarse()
	i.latency.MergeInto(dense.Histogram)
	p.Histogram = encode(dense)
	return p
}

func msOf(microseconds int64) float64 { return float64(microseconds) / 1000 }
