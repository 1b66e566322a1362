package bench

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
)

// Merge makes one report of runs that went on at the same time on several machines, as if one machine had made them:
// counts, rates and connections add up, and latencies come from the histograms together. The runs must have the same
// lanes and settings and the same Plan.StartAt.
//
// At most one of them may have upgraded the server, and its upgrades are the merged report's. What the others counted
// is tied to those upgrades by the steps of their Series, so that it is exact to a second, and their latencies before,
// during and after to two digits. The longest stall is the longest that one run saw. Kernels' counters add up, so runs
// that shared a network namespace count its events more than once.
//
// Reports that Merge returned can be merged further, and the order does not matter but for samples of errors.
func Merge(reports ...Report) (Report, error) {
	if len(reports) == 0 {
		return Report{}, errors.New("merge reports: there are none")
	}
	driver := 0
	for i, r := range reports {
		if err := reports[0].belongs(r); err != nil {
			return Report{}, fmt.Errorf("merge reports 1 and %d: %w", i+1, err)
		}
		for j, other := range reports[:i] {
			if r.ClientWait > 0 && reflect.DeepEqual(r, other) { // two runs do not wait quite the same
				return Report{}, fmt.Errorf("merge reports %d and %d: they are the same; give each run once", j+1, i+1)
			}
		}
		switch {
		case len(r.Upgrades) == 0:
		case len(reports[driver].Upgrades) > 0 && driver != i:
			return Report{}, fmt.Errorf("merge reports %d and %d: both upgraded the server; let one of them do that",
				driver+1, i+1)
		default:
			driver = i
		}
	}
	m := merger{upgrades: slices.Clone(reports[driver].Upgrades)}
	for _, r := range reports {
		m.step = max(m.step, r.Step)
	}
	sum := reports[driver]
	sum.Upgrades = m.upgrades
	if err := m.take(&sum, true); err != nil {
		return Report{}, fmt.Errorf("merge report %d: %w", driver+1, err)
	}
	for i, r := range reports {
		if i == driver {
			continue
		}
		if err := m.take(&r, len(m.upgrades) == 0); err != nil {
			return Report{}, fmt.Errorf("merge report %d: %w", i+1, err)
		}
		sum.add(r)
	}
	lag := newCoarse()
	for i := range sum.Lanes {
		lag.merge(m.lanes[i].lag)
		m.lanes[i].report(&sum.Lanes[i])
	}
	sum.Lag = lag.latency()
	sum.Verdict = sum.judgeMerged(sum.Verdict)
	return sum, nil
}

// belongs says why another report is not of the same bench, or nil.
func (r Report) belongs(other Report) error {
	names := func(r Report) (names []string) {
		for _, l := range r.Lanes {
			names = append(names, l.Name)
		}
		return names
	}
	switch {
	case other.Version != SchemaVersion || other.Runs == 0:
		return fmt.Errorf("a report of another version of the bench cannot be merged; this one reads version %d", SchemaVersion)
	case other.Plan != r.Plan || !slices.Equal(names(r), names(other)) || other.Timeout != r.Timeout:
		return fmt.Errorf("they did not do the same: %q and %q", r.Plan, other.Plan)
	case !other.Started.Equal(r.Started):
		return fmt.Errorf("they began at %v and %v; agree on one start time beforehand", r.Started, other.Started)
	default:
		return nil
	}
}

// add adds the plain numbers of another report, but for what comes from histograms.
func (r *Report) add(other Report) {
	r.Runs += other.Runs
	r.Rate += other.Rate
	r.Conns += other.Conns
	r.Duration = max(r.Duration, other.Duration)
	r.Step = max(r.Step, other.Step)
	r.ClientWait = max(r.ClientWait, other.ClientWait)
	r.Interrupted = r.Interrupted || other.Interrupted
	r.InterruptedBy = cmp.Or(r.InterruptedBy, other.InterruptedBy)
	for _, note := range other.Notes {
		if !slices.Contains(r.Notes, note) {
			r.Notes = append(slices.Clip(r.Notes), note)
		}
	}
	r.LostBefore += other.LostBefore
	r.Verdict.MaxLost += other.Verdict.MaxLost
	r.Verdict.VoidRuns += other.Verdict.VoidRuns
	if other.Kernel != nil {
		var have Kernel
		if r.Kernel != nil {
			have = *r.Kernel
		}
		both := have.add(*other.Kernel, 1)
		r.Kernel = &both
	}
	r.Lanes = slices.Clone(r.Lanes)
	for i := range r.Lanes {
		r.Lanes[i].add(other.Lanes[i])
	}
}

func (l *LaneReport) add(other LaneReport) {
	l.Operations += other.Operations
	l.OK += other.OK
	l.Lost += other.Lost
	l.Allowed += other.Allowed
	l.AllowedBecause = cmp.Or(l.AllowedBecause, other.AllowedBecause)
	l.ClientLimited += other.ClientLimited
	l.Late += other.Late
	l.LatestStart = max(l.LatestStart, other.LatestStart)
	l.Opened += other.Opened
	l.Reopened += other.Reopened
	l.HandshakesFull += other.HandshakesFull
	l.HandshakesResumed += other.HandshakesResumed
	l.HiddenByRetry += other.HiddenByRetry
	l.Refused += other.Refused
	l.Duplicates += other.Duplicates
	l.Retransmits += other.Retransmits
	l.Watched += other.Watched
	if other.Stall > l.Stall || other.Stall == l.Stall && other.StallAt < l.StallAt {
		l.Stall, l.StallAt = other.Stall, other.StallAt
	}
	l.Failures = mergeFailures(l.Failures, other.Failures)
	total := int64(len(l.Losses)+len(other.Losses)) + l.LossesOmitted + other.LossesOmitted
	l.Losses = earliest(slices.Concat(l.Losses, other.Losses))
	l.LossesOmitted = total - int64(len(l.Losses))
}

func mergeFailures(a, b []FailureCount) []FailureCount {
	sum := map[Failure]FailureCount{}
	for _, f := range slices.Concat(a, b) {
		have := sum[f.Failure]
		sum[f.Failure] = FailureCount{f.Failure, have.Count + f.Count, cmp.Or(have.Sample, f.Sample)}
	}
	return append([]FailureCount{}, slices.SortedFunc(maps.Values(sum), compareFailures)...)
}

// merger holds the merged lanes' histograms, and what a report that is taken must be cut to.
type merger struct {
	step     float64
	upgrades []Upgrade
	lanes    []mergedLane
}

type mergedLane struct {
	parts [parts]partTally
	lag   histogram
	steps []*interval
	step  float64
}

// take adds a report's histograms: as they are, or cut anew by the upgrades of another report.
func (m *merger) take(r *Report, asIs bool) error {
	if m.lanes == nil {
		m.lanes = make([]mergedLane, len(r.Lanes))
		for i := range m.lanes {
			t := newTally()
			m.lanes[i] = mergedLane{parts: t.parts, lag: t.lag, step: m.step}
		}
	}
	r.Lanes = slices.Clone(r.Lanes)
	for i := range r.Lanes {
		lane := &r.Lanes[i]
		steps, err := intervals(*lane, r.Step, m.step)
		if err != nil {
			return fmt.Errorf("%s: %w", lane.Name, err)
		}
		taken := [parts]partTally{}
		if asIs {
			taken, err = lane.windows()
		} else {
			taken = recut(steps, m.step, m.upgrades)
			m.tie(r, lane, steps)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", lane.Name, err)
		}
		lag, err := decode(lane.LagHistogram, lane.Lag.Count)
		if err != nil {
			return fmt.Errorf("%s: %w", lane.Name, err)
		}
		m.lanes[i].take(taken, lag, steps)
	}
	return nil
}

func (m *mergedLane) take(taken [parts]partTally, lag histogram, steps []*interval) {
	m.lag.merge(lag)
	for p := range m.parts {
		m.parts[p].add(&taken[p])
	}
	for k, step := range steps {
		if k == len(m.steps) {
			m.steps = append(m.steps, newInterval())
		}
		m.steps[k].merge(step)
	}
}

// report writes the merged histograms, and all that comes from them, into a lane's report.
func (m *mergedLane) report(l *LaneReport) {
	t := tally{parts: m.parts}
	l.Steady, l.Upgrading = t.steady().latency(), m.parts[during].latency.latency()
	l.Before, l.During, l.After = m.parts[before].window(), m.parts[during].window(), m.parts[after].window()
	l.Lag, l.LagHistogram = m.lag.latency(), encode(m.lag)
	l.LossBound = lossBound(l.Lost, l.OK+l.Lost, confidence)
	l.Series = []Point{}
	for i, step := range m.steps {
		l.Series = append(l.Series, step.point(seconds(float64(i)*m.step)))
	}
}

// windows returns the parts as the report has them.
func (l LaneReport) windows() (taken [parts]partTally, err error) {
	for i, w := range [parts]Window{l.Before, l.During, l.After} {
		latency, err := decode(w.Histogram, w.Latency.Count)
		if err != nil {
			return taken, err
		}
		taken[i] = partTally{w.Operations, w.OK, w.Lost, w.ClientLimited, latency}
	}
	return taken, nil
}

// judgeMerged says what a merged report comes to. Of the verdict that is there, it keeps how many losses were allowed
// and how many runs were void.
func (r Report) judgeMerged(was Verdict) Verdict {
	p := Plan{MaxLost: was.MaxLost, MaxLate: 1, LateAfter: math.MaxInt64}
	v := p.judge(r)
	v.VoidRuns = was.VoidRuns
	v.Void = v.VoidRuns > 0
	spoils := ""
	if v.Void {
		v.Pass = false
		spoils = fmt.Sprintf("in %d of %s", v.VoidRuns, plural(r.Runs, "run"))
	}
	v.Line = p.line(v, r, spoils)
	return v
}
