package bench

import (
	"cmp"
	"slices"
	"time"
)

// summary is the run's report, once all its goroutines have ended.
func (r *run) summary(interrupted bool) Report {
	report := Report{
		Version:     SchemaVersion,
		Started:     r.started.Round(0),
		Duration:    r.ended.Sub(r.started).Round(time.Millisecond).Seconds(),
		Rate:        r.Rate,
		Conns:       r.Conns,
		Timeout:     r.Timeout.Seconds(),
		ClientWait:  ms(r.self.p99()),
		Interrupted: interrupted,
		Upgrades:    []Upgrade{},
		LostBefore:  r.windows.losses,
	}
	for _, l := range r.lanes {
		report.Lanes = append(report.Lanes, l.summary(r.Allow))
	}
	if r.driver != nil {
		for i, u := range r.driver.finished {
			u.Lost = r.windows.lostIn(i)
			report.Upgrades = append(report.Upgrades, u)
		}
	}
	report.Verdict = r.judge(report)
	return report
}

func (l *laneRun) summary(allow []Allowance) LaneReport {
	sum := l.recorder.total()
	lane := LaneReport{
		Name:        l.Name(),
		Operations:  sum.done,
		OK:          sum.ok,
		Lost:        sum.lost(),
		Late:        sum.late,
		LatestStart: ms(sum.latest),
		Opened:      sum.opened,
		Reopened:    sum.renewed,
		Failures:    []FailureCount{},
		Steady:      sum.steady.latency(),
		Upgrading:   sum.upgrading.latency(),
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
	slices.SortFunc(lane.Failures, func(a, b FailureCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.String(), b.String()))
	})
	return lane
}
