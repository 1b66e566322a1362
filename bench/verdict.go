package bench

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-e3b9a99f/baton/bench/internal/figures"
)

// judge says what a report comes to under the plan.
func (p Plan) judge(r Report) Verdict {
	v := Verdict{MaxLost: p.MaxLost}
	var spoilt int64
	for _, l := range r.Lanes {
		v.Requests += l.Operations
		v.Lost += l.Lost - l.Allowed
		v.Allowed += l.Allowed
		spoilt += l.Late + l.ClientLimited
	}
	for _, u := range r.Upgrades {
		if u.Error != "" {
			v.FailedUpgrade++
		}
	}
	spoils := p.spoils(r, spoilt, v.Requests)
	v.Void = spoils != ""
	if v.Void {
		v.VoidRuns = 1
	}
	v.Pass = v.Lost <= v.MaxLost && v.FailedUpgrade == 0 && !v.Void && !r.Interrupted && v.Requests > 0
	v.Line = p.line(v, r, spoils)
	return v
}

// spoils says why the client was no fair witness, or "" if it was one.
func (p Plan) spoils(r Report, spoilt, requests int64) string {
	switch {
	case float64(spoilt) > p.MaxLate*float64(requests):
		return fmt.Sprintf("the client could not keep its schedule (%s of %s requests late by more than %v or never sent, "+
			"at most %s allowed; lower --rate or free the CPU)",
			figures.Thousands(spoilt), figures.Thousands(requests), p.LateAfter, percent(p.MaxLate))
	case r.ClientWait > ms(p.LateAfter/5):
		return fmt.Sprintf("the client is short of CPU (it waits up to %s ms for it at every step, at most %s ms allowed; "+
			"lower --rate or free the CPU)", figures.Milliseconds(r.ClientWait), figures.Milliseconds(ms(p.LateAfter/5)))
	case r.Lag.P99 > ms(p.maxLag()):
		return fmt.Sprintf("the client fell behind its schedule (99 of 100 requests within %s ms, %s ms asked; lower "+
			"--rate or free the CPU)", figures.Milliseconds(r.Lag.P99), figures.Milliseconds(ms(p.maxLag())))
	default:
		return ""
	}
}

const (
	// strictFrom is the rate at which lag is asked for. Below it, requests are so far apart that a client which is short
	// of CPU shows in other ways first.
	strictFrom = 10_000
	// mayBeBehind is how many operations the client may be behind then.
	mayBeBehind = 20
)

// maxLag is what Plan.MaxLag comes to.
func (p Plan) maxLag() time.Duration {
	rate := p.Rate * float64(len(p.Lanes))
	switch {
	case p.MaxLag > 0:
		return p.MaxLag
	case rate < strictFrom || p.LateAfter > defaultLateAfter: // lateness is said not to matter so much
		return math.MaxInt64
	default:
		return time.Duration(mayBeBehind / rate * float64(time.Second))
	}
}

func (p Plan) line(v Verdict, r Report, spoils string) string {
	var b strings.Builder
	switch {
	case r.InterruptedBy != "":
		b.WriteString("INTERRUPTED (" + r.InterruptedBy + "): ")
	case r.Interrupted:
		b.WriteString("INTERRUPTED: ")
	case v.Void: // whatever was lost may be the client's doing
		b.WriteString("VOID: " + spoils + ": ")
	case v.Pass:
		b.WriteString("PASS: ")
	default:
		b.WriteString("FAIL: ")
	}
	fmt.Fprintf(&b, "%s of %s requests lost", figures.Thousands(v.Lost), figures.Thousands(v.Requests))
	if len(r.Upgrades) > 0 || r.Interrupted && p.Upgrades != nil {
		fmt.Fprintf(&b, " across %s", countEvents(r.Upgrades))
	}
	if v.MaxLost > 0 {
		fmt.Fprintf(&b, " (up to %s allowed)", figures.Thousands(v.MaxLost))
	}
	for _, clause := range slices.Concat(lostClauses(r), earlyClauses(r), failedClauses(r), servingClauses(r), allowedClauses(r)) {
		b.WriteString("; " + clause)
	}
	return b.String()
}

func lostClauses(r Report) []string {
	var lanes []string
	for _, l := range r.Lanes {
		if n := l.Lost - l.Allowed; n > 0 {
			lanes = append(lanes, figures.Thousands(n)+" "+l.Name)
		}
	}
	if lanes == nil {
		return nil
	}
	return []string{strings.Join(lanes, ", ")}
}

// earlyClauses say what cannot be the upgrades' doing.
func earlyClauses(r Report) []string {
	if len(r.Upgrades) == 0 || r.LostBefore == 0 {
		return nil
	}
	return []string{figures.Thousands(r.LostBefore) + " of them before the first upgrade"}
}

// failedClauses names the first event that failed, since the others mostly follow from it.
func failedClauses(r Report) []string {
	var failed []Upgrade
	for _, u := range r.Upgrades {
		if u.Error != "" {
			failed = append(failed, u)
		}
	}
	if failed == nil {
		return nil
	}
	text := fmt.Sprintf("%s %d failed: %s", failed[0].What(), failed[0].Number, failed[0].Error)
	if more := len(failed) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return []string{text}
}

// servingClauses say how long takeovers took, by each kind of sign.
func servingClauses(r Report) (clauses []string) {
	var signs []Sign
	times := map[Sign][]float64{}
	for _, u := range r.Upgrades {
		if u.Error == "" && u.Serving > 0 { // other events than upgrades have no new generation
			if times[u.SeenBy] == nil {
				signs = append(signs, u.SeenBy)
			}
			times[u.SeenBy] = append(times[u.SeenBy], u.Serving)
		}
	}
	for _, sign := range signs {
		clause := fmt.Sprintf("%s after %s", sign.words(), figures.Milliseconds(slices.Min(times[sign])))
		if last := figures.Milliseconds(slices.Max(times[sign])); !strings.HasSuffix(clause, " "+last) {
			clause += " to " + last
		}
		clauses = append(clauses, clause+" ms")
	}
	return clauses
}

// words are what was seen, before "after 12 ms".
func (s Sign) words() string {
	switch s {
	case SignPIDFile:
		return "new process in the pidfile"
	case SignWorkers:
		return "new workers"
	case SignAnswer:
		return "answering"
	default:
		return "new generation serving"
	}
}

func allowedClauses(r Report) (clauses []string) {
	for _, l := range r.Lanes {
		if l.Allowed > 0 {
			clauses = append(clauses, fmt.Sprintf("%s: %s of %s connections ended, %s",
				l.Name, figures.Thousands(l.Allowed), figures.Thousands(l.Opened), l.AllowedBecause))
		}
	}
	return clauses
}

func percent(fraction float64) string {
	return strconv.FormatFloat(100*fraction, 'g', 3, 64) + " %"
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return strconv.Itoa(n) + " " + word + "s"
}
