package bench

import (
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/seed-e3b9a99f/baton/bench/internal/figures"
)

// tableWidth is how many columns a table takes at the most.
const tableWidth = 159

// leastTrouble is how much room the table's last column must have to be one.
const leastTrouble = 45

// WriteTable writes a report's lanes as one table for people, less than 160 columns wide. Latencies are in
// milliseconds. What is 0 in all lanes and mostly is has no column.
func WriteTable(w io.Writer, r Report) error {
	var columns []column
	add := func(shown bool, c ...column) {
		if shown {
			columns = append(columns, c...)
		}
	}
	any := slices.ContainsFunc[[]LaneReport]
	count := func(head string, of func(LaneReport) int64) column {
		return column{head, func(l LaneReport) string { return figures.Thousands(of(l)) }}
	}
	sometimes := func(head string, of func(LaneReport) int64) {
		add(any(r.Lanes, func(l LaneReport) bool { return of(l) > 0 }), count(head, of))
	}
	add(true,
		column{"lane", func(l LaneReport) string { return l.Name }},
		count("requests", func(l LaneReport) int64 { return l.Operations }),
		count("lost", func(l LaneReport) int64 { return l.Lost }))
	sometimes("hidden", func(l LaneReport) int64 { return l.HiddenByRetry })
	sometimes("refused", func(l LaneReport) int64 { return l.Refused })
	sometimes("twice", func(l LaneReport) int64 { return l.Duplicates })
	add(true, count("reopened", func(l LaneReport) int64 { return l.Reopened }))
	add(any(r.Lanes, func(l LaneReport) bool { return l.HandshakesFull > 0 }),
		column{"full TLS", func(l LaneReport) string { return l.handshakes(l.HandshakesFull) }},
		column{"resumed", func(l LaneReport) string { return l.handshakes(l.HandshakesResumed) }})
	add(true, latencies([4]string{"p50 ms", "p99", "p99.9", "max"}, func(l LaneReport) Latency { return l.Steady })...)
	upgrading := latencies([4]string{"upgrading: p50", "p99", "p99.9", "max"}, func(l LaneReport) Latency { return l.Upgrading })
	from := len(columns)
	add(len(r.Upgrades) > 0, upgrading...)
	add(any(r.Lanes, func(l LaneReport) bool { return l.Stall >= longStall }),
		column{"stall", func(l LaneReport) string { return figures.Milliseconds(l.Stall) }})

	rows := cells(columns, r.Lanes)
	if width(rows) <= tableWidth || len(r.Upgrades) == 0 {
		return writeColumns(w, withTroubles(rows, r.Lanes))
	}
	// Too much for one table: what is of upgrades has its own.
	rows = cells(slices.Delete(columns, from, from+len(upgrading)), r.Lanes)
	if err := writeColumns(w, withTroubles(rows, r.Lanes)); err != nil {
		return err
	}
	if _, err := io.WriteString(w, "\n"); err != nil {
		return err
	}
	name := column{"lane", func(l LaneReport) string { return l.Name }}
	return writeColumns(w, cells(slices.Insert(upgrading, 0, name), r.Lanes))
}

func cells(columns []column, lanes []LaneReport) [][]string {
	rows := [][]string{{}}
	for _, c := range columns {
		rows[0] = append(rows[0], c.head)
	}
	for _, l := range lanes {
		var row []string
		for _, c := range columns {
			row = append(row, c.cell(l))
		}
		rows = append(rows, row)
	}
	return rows
}

// width is how wide columns of these cells are.
func width(rows [][]string) (sum int) {
	for i := range rows[0] {
		widest := 0
		for _, row := range rows {
			widest = max(widest, utf8.RuneCountInString(row[i]))
		}
		sum += widest + len(gap)
	}
	return sum - len(gap)
}

// longStall is from how many milliseconds on a lane's stall is worth a column.
const longStall = 1000

type column struct {
	head string
	cell func(LaneReport) string
}

func latencies(heads [4]string, of func(LaneReport) Latency) (columns []column) {
	for i, head := range heads {
		columns = append(columns, column{head, func(l LaneReport) string { return of(l).cells()[i] }})
	}
	return columns
}

// withTroubles adds a last column, how operations failed, and as many rows as that takes. Where there is no room for it
// beside the table, it comes below. Where none failed, it has no head.
func withTroubles(rows [][]string, lanes []LaneReport) [][]string {
	room := tableWidth - width(rows) - len(gap)
	head := "how they failed"
	if !slices.ContainsFunc(lanes, func(l LaneReport) bool { return l.trouble() != nil }) {
		head = ""
	}
	all := [][]string{append(rows[0], head)}
	var below [][]string
	empty := make([]string, len(rows[0]))
	for i, l := range lanes {
		if room < leastTrouble {
			all = append(all, append(rows[i+1], ""))
			for _, line := range fold(l.trouble(), tableWidth-len(l.Name+": ")) {
				if line != "" {
					below = append(below, []string{l.Name + ": " + line})
				}
			}
			continue
		}
		lines := fold(l.trouble(), room)
		all = append(all, append(rows[i+1], lines[0]))
		for _, line := range lines[1:] {
			all = append(all, append(slices.Clone(empty), line))
		}
	}
	if room < leastTrouble {
		all[0][len(all[0])-1] = ""
	}
	return append(all, below...)
}

// fold breaks a list with commas into lines, each of at most the given width if its items are.
func fold(list []string, width int) []string {
	lines := []string{""}
	for i, item := range list {
		if i < len(list)-1 {
			item += ","
		}
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = item
		case utf8.RuneCountInString(*last)+1+utf8.RuneCountInString(item) <= width:
			*last += " " + item
		default:
			lines = append(lines, item)
		}
	}
	return lines
}

// gap stands between columns.
const gap = "  "

// writeColumns aligns the first column and the last to the left, and numbers to the right. A row of one cell stands as
// it is.
func writeColumns(w io.Writer, rows [][]string) error {
	last := len(rows[0]) - 1
	widths := make([]int, last+1)
	for _, row := range rows {
		if len(row) == 1 {
			continue
		}
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(cell)))
			switch i {
			case 0, last:
				line.WriteString(cell + pad)
			default:
				line.WriteString(pad + cell)
			}
			line.WriteString(gap)
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (l LaneReport) handshakes(n int64) string {
	if l.HandshakesFull+l.HandshakesResumed == 0 {
		return "-"
	}
	return figures.Thousands(n)
}

func (l Latency) cells() []string {
	if l.Count == 0 {
		return []string{"-", "-", "-", "-"}
	}
	return []string{figures.Milliseconds(l.P50), figures.Milliseconds(l.P99), figures.Milliseconds(l.P999), figures.Milliseconds(l.Max)}
}

func (l LaneReport) trouble() (parts []string) {
	for _, f := range l.Failures {
		parts = append(parts, figures.Thousands(f.Count)+" "+f.String())
	}
	if l.Late > 0 {
		parts = append(parts, figures.Thousands(l.Late)+" begun late by the client")
	}
	return parts
}
