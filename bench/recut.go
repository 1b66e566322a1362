package bench

import (
	"fmt"
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// decode returns a histogram of a report, and sees that it counts what the report says.
func decode(h Histogram, count int64) (histogram, error) {
	got, err := h.Decode()
	if err == nil && got.TotalCount() != count {
		err = fmt.Errorf("a histogram of %d operations has %d", count, got.TotalCount())
	}
	return histogram{got}, err
}

// intervals returns a lane's series in steps of the given length, which is a multiple of its own.
func intervals(l LaneReport, own, step float64) ([]*interval, error) {
	if own <= 0 {
		return nil, fmt.Errorf("its series has steps of %g s", own)
	}
	var steps []*interval
	for i, p := range l.Series {
		k := int(float64(i) * own / step)
		for k >= len(steps) {
			steps = append(steps, newInterval())
		}
		latency := newInterval().latency
		if p.Histogram != "" {
			var err error
			if latency, err = hdrhistogram.DecodePacked([]byte(p.Histogram)); err != nil {
				return nil, fmt.Errorf("decode histogram of second %g: %w", p.At, err)
			}
		}
		steps[k].merge(&interval{p.Operations, p.Lost, p.Reopened, latency})
	}
	return steps, nil
}

// recut sorts steps into the parts that another run's upgrades make. A step that touches a window is wholly within it.
func recut(steps []*interval, step float64, upgrades []Upgrade) [parts]partTally {
	cut := newTally().parts
	for i, s := range steps {
		p := &cut[partOf(float64(i)*step, float64(i+1)*step, upgrades)]
		p.done += s.done
		p.ok += s.latency.TotalCount()
		p.lost += s.lost
		p.limited += s.done - s.latency.TotalCount() - s.lost
		s.latency.MergeInto(p.latency.Histogram)
	}
	return cut
}

// partOf is timeline.place for seconds from the start of the run.
func partOf(from, to float64, upgrades []Upgrade) part {
	where := before
	for _, u := range upgrades {
		if u.At > to {
			break
		}
		if where = after; u.Until == 0 || u.Until >= from {
			return during
		}
	}
	return where
}

// tie ties the losses of a run to another run's upgrades: one by one where all are listed, or else by steps.
func (m *merger) tie(r *Report, lane *LaneReport, steps []*interval) {
	last := func(at float64) (number int) {
		for i, u := range m.upgrades {
			if u.At <= at {
				number = i + 1
			}
		}
		return number
	}
	count := func(number int, n int64) {
		if number > 0 {
			r.LostBefore -= n
			m.upgrades[number-1].Lost += n
		}
	}
	kept := make([]Loss, 0, len(lane.Losses))
	for _, l := range lane.Losses {
		number := last(l.At)
		l.Upgrade = 0
		if number > 0 {
			l.Upgrade = m.upgrades[number-1].Number
		}
		l.Within = partOf(l.At-l.Latency/1000, l.At, m.upgrades) == during
		kept = append(kept, l)
		if lane.LossesOmitted == 0 {
			count(number, 1)
		}
	}
	lane.Losses = kept
	if lane.LossesOmitted > 0 {
		for i, s := range steps {
			count(last(float64(i+1)*m.step), s.lost)
		}
	}
}

// seconds rounds to what a time in a report can tell.
func seconds(s float64) time.Duration {
	return time.Duration(math.Round(s*1e9)) * time.Nanosecond
}
