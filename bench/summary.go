package bench

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// summary is the run's report, once all its goroutines have ended.
func (r *run) summary(interrupted error) Report {
	report := Report{
		Version:     SchemaVersion,
		Started:     r.started.Round(0),
		Duration:    r.ended.Sub(r.started).Round(time.Millisecond).Seconds(),
		Rate:        r.Rate,
		Conns:       r.Conns,
		Timeout:     r.Timeout.Seconds(),
		ClientWait:  ms(r.self.p99()),
		Interrupted: interrupted != nil,
		Notes:       r.notes,
		Upgrades:    []Upgrade{},
		LostBefore:  r.windows.losses,
		Plan:        r.doing(),
		Runs:        1,
		Step:        seriesStep.Seconds(),
	}
	if interrupted != nil && interrupted != context.Canceled { // the cause says more than that
		report.InterruptedBy = interrupted.Error()
	}
	lag := newCoarse()
	for _, l := range r.lanes {
		l.recorder.stall.finish(r.ended)
		sum := l.recorder.total()
		lag.merge(sum.lag)
		report.Lanes = append(report.Lanes, l.summary(sum, r.Allow))
		report.Step = max(report.Step, l.recorder.series.step.Seconds())
	}
	report.Lag = lag.latency()
	if r.kernel[0] != nil && r.kernel[1] != nil {
		counted := r.kernel[1].since(*r.kernel[0])
		report.Kernel = &counted
	}
	if r.driver != nil {
		for _, u := range r.driver.finished {
			report.Upgrades = append(report.Upgrades, r.windows.complete(u, r.started, r.kernel[1]))
		}
	}
	report.Verdict = r.judge(report)
	return report
}

// doing says what each lane did, in words that are the same for all runs of one kind.
func (p Plan) doing() string {
	var names []string
	for _, l := range p.Lanes {
		names = append(names, l.Name())
	}
	return fmt.Sprintf("%s, each at %g op/s, %d connections where they persist, %v for each operation",
		strings.Join(names, ", "), p.Rate, p.Conns, p.Timeout)
}

func (l *laneRun) summary(sum tally, allow []Allowance) LaneReport {
	lane := LaneReport{
		Name:          l.Name(),
		Operations:    sum.done,
		OK:            sum.ok,
		Lost:          sum.lost(),
		Late:          sum.late,
		LatestStart:   ms(sum.latest),
		Opened:        sum.opened,
		Reopened:      sum.renewed,
		Failures:      []FailureCount{},
		Steady:        sum.steady().latency(),
		Upgrading:     sum.parts[during].latency.latency(),
		HiddenByRetry: sum.hidden,
		Refused:       sum.refused,
		Duplicates:    sum.duplicates,
		LossBound:     lossBound(sum.lost(), sum.ok+sum.lost(), confidence),
		Before:        sum.parts[before].window(),
		During:        sum.parts[during].window(),
		After:         sum.parts[after].window(),
		Series:        l.recorder.series.points(),
		Lag:           sum.lag.latency(),
		LagHistogram:  encode(sum.lag),
		Retransmits:   l.tap.segments.Load(),
		Watched:       l.tap.connections.Load(),
	}
	lane.Losses, lane.LossesOmitted = l.recorder.losses.report()
	if s := &l.recorder.stall; s.longest > 0 {
		lane.Stall, lane.StallAt = ms(s.longest), s.from.Sub(s.pace.start).Seconds()
	}
	if t, ok := l.Lane.(interface{ secure() bool }); ok && t.secure() {
		lane.HandshakesFull, lane.HandshakesResumed = sum.opened-sum.resumed, sum.resumed
	}
	for why, f := range sum.failures {
		lane.Failures = append(lane.Failures, FailureCount{why, f.count, f.sample})
		if why.Class.ClientsOwn() {
			lane.ClientLimited += f.count
		}
		for _, a := range allow {
			if a.Lane == lane.Name && slices.Contains(a.Classes, why.Class) {
				lane.Allowed += f.count
				lane.AllowedBecause = a.Because
			}
		}
	}
	slices.SortFunc(lane.Failures, compareFailures)
	return lane
}

func compareFailures(a, b FailureCount) int {
	return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.String(), b.String()))
}

// steady is what lies outside of the upgrades.
func (t *tally) steady() histogram {
	sum := newHistogram()
	sum.merge(t.parts[before].latency)
	sum.merge(t.parts[after].latency)
	return sum
}

func (p *partTally) window() Window {
	return Window{
		Operations:    p.done,
		OK:            p.ok,
		Lost:          p.lost,
		ClientLimited: p.limited,
		Latency:       p.latency.latency(),
		Histogram:     encode(p.latency),
	}
}
