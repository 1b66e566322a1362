package against

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/seed-e3b9a99f/baton/bench"
	"github.com/seed-e3b9a99f/baton/bench/internal/figures"
)

// columns are the lanes that have one in the table.
var columns = []struct{ lane, head string }{
	{"http new", "new"}, {"http keep-alive", "POST"}, {"https new", "TLS new"}, {"https keep-alive", "TLS POST"},
	{"tcp long", "long TCP"}, {"tcp new", "new TCP"},
}

// Table writes the outcomes as one table for people, with remarks below it. The columns named for lanes count what was
// lost; reconnects are what persistent connections came to beyond their first, and full TLS how many of those did not
// resume. Latencies are in milliseconds, of the lane that had it worst. Processes: before, and at most.
func Table(w io.Writer, outcomes []Outcome) error {
	rows := rowsOf(outcomes)
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			switch i {
			case 0:
				b.WriteString(cell + pad)
			default:
				b.WriteString("  " + pad + cell)
			}
		}
		b.WriteString("\n")
	}
	if notes := remarks(outcomes); len(notes) > 0 {
		b.WriteString("\n" + strings.Join(notes, "\n") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Markdown writes the same as Table in Markdown.
func Markdown(w io.Writer, outcomes []Outcome) error {
	var b strings.Builder
	for i, row := range rowsOf(outcomes) {
		b.WriteString("| " + strings.Join(row, " | ") + " |\n")
		if i == 0 {
			b.WriteString("|---|" + strings.Repeat("---:|", len(row)-1) + "\n")
		}
	}
	if notes := remarks(outcomes); len(notes) > 0 {
		b.WriteString("\n- " + strings.Join(notes, "\n- ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func rowsOf(outcomes []Outcome) [][]string {
	head := []string{"peer", "upgrades", "requests"}
	for _, c := range columns {
		head = append(head, c.head)
	}
	head = append(head, "reconnects", "full TLS", "p99 steady", "upgrading", "longest", "processes")
	rows := [][]string{head}
	for _, o := range outcomes {
		if o.Report != nil {
			rows = append(rows, o.row())
		}
	}
	return rows
}

func (o Outcome) row() []string {
	r := *o.Report
	worked := 0
	for _, u := range r.Upgrades {
		if u.Error == "" {
			worked++
		}
	}
	name := o.Peer
	if r.Verdict.Void {
		name += " (void)"
	}
	row := []string{name, fmt.Sprintf("%d/%d", worked, len(r.Upgrades)), figures.Thousands(r.Verdict.Requests)}
	for _, c := range columns {
		cell := "-"
		if i := slices.IndexFunc(r.Lanes, func(l bench.LaneReport) bool { return l.Name == c.lane }); i >= 0 {
			cell = figures.Thousands(r.Lanes[i].Lost)
		}
		row = append(row, cell)
	}
	var steady, upgrading, longest float64
	for _, l := range r.Lanes {
		steady = max(steady, l.Steady.P99)
		upgrading = max(upgrading, l.Upgrading.P99)
		longest = max(longest, l.Steady.Max, l.Upgrading.Max)
	}
	again, full := reconnects(r)
	return append(row, figures.Thousands(again), figures.Thousands(full),
		milliseconds(steady), milliseconds(upgrading), milliseconds(longest), fmt.Sprintf("%d→%d", o.Processes, o.Most))
}

// reconnects returns how many connections the lanes with persistent ones opened after their first, and how many of
// those cost a full TLS handshake.
func reconnects(r bench.Report) (again, full int64) {
	first := int64(r.Conns)
	for _, l := range r.Lanes {
		if !slices.Contains([]string{"http keep-alive", "https keep-alive", "tcp long"}, l.Name) {
			continue
		}
		again += max(0, l.Opened-first)
		full += max(0, l.HandshakesFull-first)
	}
	return again, full
}

// remarks are what the numbers need to be read right: what was left out, and what spoilt a run.
func remarks(outcomes []Outcome) (notes []string) {
	if len(outcomes) > 0 && outcomes[0].Drain > 0 {
		notes = append(notes, fmt.Sprintf("drain deadline: %g s, where a peer lets one set it", outcomes[0].Drain))
	}
	for _, o := range outcomes {
		note := func(format string, args ...any) { notes = append(notes, o.Peer+": "+fmt.Sprintf(format, args...)) }
		switch {
		case o.Skipped != "":
			note("skipped: %s", o.Skipped)
		case o.Error != "":
			note("%s", o.Error)
		}
		if o.Report == nil {
			continue
		}
		if o.Report.Verdict.Void {
			note("void: the client was late or could not send %s times, and waited up to %s ms for a CPU",
				figures.Thousands(clientsOwn(*o.Report)), milliseconds(o.Report.ClientWait))
		}
		if o.Report.Interrupted {
			note("interrupted")
		}
		failed := slices.DeleteFunc(slices.Clone(o.Report.Upgrades), func(u bench.Upgrade) bool { return u.Error == "" })
		switch len(failed) {
		case 0:
		case 1:
			note("upgrade %d failed: %s", failed[0].Number, failed[0].Error)
		default:
			note("upgrade %d failed: %s (and %d more)", failed[0].Number, failed[0].Error, len(failed)-1)
		}
	}
	return notes
}

func clientsOwn(r bench.Report) (n int64) {
	for _, l := range r.Lanes {
		n += l.Late + l.ClientLimited
	}
	return n
}

// milliseconds writes about three digits, which is what the histograms hold.
func milliseconds(ms float64) string {
	if ms == 0 {
		return "-"
	}
	return figures.Milliseconds(ms)
}
