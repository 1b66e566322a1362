package bench

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-e3b9a99f/baton/bench/internal/figures"
)

// What names for people what was done: "upgrade", "bad upgrade", "rotation" or "reload".
func (u Upgrade) What() string {
	switch e := u.Event; {
	case e == nil:
		return "upgrade"
	case e.Fault != "":
		return "bad upgrade"
	case e.Kind == KindRotate:
		return "rotation"
	default:
		return cmp.Or(string(e.Kind), "upgrade")
	}
}

// InEffect is when clients saw what the event was for, in milliseconds from its trigger: the new generation, or the new
// certificate. For a reload it is when the trigger had returned. It is 0 if there was no such moment.
func (u Upgrade) InEffect() float64 {
	if u.Serving == 0 && u.Event != nil {
		return u.Event.Effective
	}
	return u.Serving
}

// String says for people what Upgrade does not.
func (e Event) String() string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	switch {
	case e.Fault != "" && e.FaultEnded > 0:
		add("%s, started after %s ms and ended after %s ms", e.Fault, figures.Milliseconds(e.FaultStarted), figures.Milliseconds(e.FaultEnded))
	case e.Fault != "":
		add("%s", e.Fault)
	case e.Kind == KindRotate && e.Effective > 0:
		add("new certificate served after %s ms", figures.Milliseconds(e.Effective))
	case e.Kind == KindReload && e.Effective > 0:
		add("triggered within %s ms", figures.Milliseconds(e.Effective))
	case e.Binary != "":
		add("to %s", e.Binary)
	}
	switch {
	case e.OldGone > 0:
		add("old process gone after %s ms", figures.Milliseconds(e.OldGone))
	case e.OldAlive:
		add("old process still alive at the end")
	}
	if u := e.Usage; u != nil {
		add("up to %d processes", u.ProcessesPeak)
		if peak := u.MemoryPeak(); peak > 0 {
			add("memory peak %.1fx", peak)
		}
		add("%.2f s CPU", u.CPU)
	}
	return strings.Join(parts, ", ")
}

// byWhat groups events by what they were, in the order in which each kind came first.
func byWhat(events []Upgrade) (groups [][]Upgrade) {
	for _, u := range events {
		i := slices.IndexFunc(groups, func(g []Upgrade) bool { return g[0].What() == u.What() })
		if i < 0 {
			i, groups = len(groups), append(groups, nil)
		}
		groups[i] = append(groups[i], u)
	}
	return groups
}

// countEvents says how many there were, as "2 upgrades, 1 bad upgrade, 3 rotations".
func countEvents(events []Upgrade) string {
	if len(events) == 0 {
		return plural(0, "upgrade")
	}
	var parts []string
	for _, g := range byWhat(events) {
		parts = append(parts, plural(len(g), g[0].What()))
	}
	return strings.Join(parts, ", ")
}

// WriteEvents writes for people what a report's upgrades and other events came to: a row for each kind. What is known of
// none of them has no column.
//
// "In effect" is Upgrade.InEffect, "old gone" Event.OldGone, with "never" as the maximum where a process outlived the
// run. Processes, memory and CPU time are those of the server, by ProcessUsage, at the event that took the most.
func WriteEvents(w io.Writer, r Report) error {
	groups := byWhat(r.Upgrades)
	if len(groups) == 0 {
		return nil
	}
	rows := make([][]string, len(groups)+1)
	for _, c := range eventColumns() {
		cells := []string{c.head}
		for _, g := range groups {
			cells = append(cells, c.cell(g))
		}
		if c.optional && !slices.ContainsFunc(cells[1:], func(cell string) bool { return cell != "-" }) {
			continue
		}
		for i, cell := range cells {
			rows[i] = append(rows[i], cell)
		}
	}
	for i := range rows {
		rows[i] = append(rows[i], "") // the last column is for text
	}
	return writeColumns(w, rows)
}

type eventColumn struct {
	head     string
	optional bool
	cell     func([]Upgrade) string
}

func eventColumns() []eventColumn {
	columns := []eventColumn{
		{"event", false, func(g []Upgrade) string { return g[0].What() }},
		{"count", false, func(g []Upgrade) string { return strconv.Itoa(len(g)) }},
		{"failed", false, func(g []Upgrade) string { return sum(g, func(u Upgrade) int64 { return int64(min(len(u.Error), 1)) }) }},
		{"lost", false, func(g []Upgrade) string { return sum(g, func(u Upgrade) int64 { return u.Lost }) }},
	}
	columns = append(columns, times("in effect, ms: p50", Upgrade.InEffect)...)
	columns = append(columns, times("pidfile: p50", func(u Upgrade) float64 { return u.PIDFile })...)
	columns = append(columns, times("old gone: p50", Upgrade.oldGone)...)
	return append(columns,
		most("processes", "%.0f", func(u ProcessUsage) float64 { return float64(u.ProcessesPeak) }),
		most("memory", "%.1fx", ProcessUsage.MemoryPeak),
		most("CPU, s", "%.2f", func(u ProcessUsage) float64 { return u.CPU }))
}

func sum(events []Upgrade, of func(Upgrade) int64) string {
	var all int64
	for _, u := range events {
		all += of(u)
	}
	return figures.Thousands(all)
}

// oldGone is infinite for a process that outlived the run.
func (u Upgrade) oldGone() float64 {
	switch {
	case u.Event == nil:
		return 0
	case u.Event.OldAlive:
		return math.Inf(1)
	default:
		return u.Event.OldGone
	}
}

// times are two columns: the median and the maximum of the times that there are.
func times(head string, of func(Upgrade) float64) []eventColumn {
	at := func(quantile float64) func([]Upgrade) string {
		return func(events []Upgrade) string {
			var all []float64
			for _, u := range events {
				if t := of(u); t > 0 {
					all = append(all, t)
				}
			}
			if len(all) == 0 {
				return "-"
			}
			slices.Sort(all)
			t := all[int(quantile*float64(len(all)-1))]
			if math.IsInf(t, 1) {
				return "never"
			}
			return figures.Milliseconds(t)
		}
	}
	return []eventColumn{{head, true, at(0.5)}, {"max", true, at(1)}}
}

func most(head, format string, of func(ProcessUsage) float64) eventColumn {
	return eventColumn{head, true, func(events []Upgrade) string {
		highest := 0.0
		for _, u := range events {
			if u.Event != nil && u.Event.Usage != nil {
				highest = max(highest, of(*u.Event.Usage))
			}
		}
		if highest == 0 {
			return "-"
		}
		return fmt.Sprintf(format, highest)
	}}
}
