package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// WriteTable writes a report's lanes as one table for people. Latencies are in milliseconds.
func WriteTable(w io.Writer, r Report) error {
	upgraded := len(r.Upgrades) > 0
	secure := slices.ContainsFunc(r.Lanes, func(l LaneReport) bool { return l.HandshakesFull > 0 })
	head := []string{"lane", "requests", "lost", "reopened"}
	if secure {
		head = append(head, "full TLS", "resumed")
	}
	head = append(head, "p50 ms", "p99", "p99.9", "max")
	if upgraded {
		head = append(head, "upgrading: p50", "p99", "p99.9", "max")
	}
	head = append(head, "how they failed")
	rows := [][]string{head}
	for _, l := range r.Lanes {
		row := []string{l.Name, thousands(l.Operations), thousands(l.Lost), thousands(l.Reopened)}
		if secure {
			row = append(row, l.handshakes()...)
		}
		row = append(row, l.Steady.cells()...)
		if upgraded {
			row = append(row, l.Upgrading.cells()...)
		}
		rows = append(rows, append(row, l.trouble()))
	}
	return writeColumns(w, rows)
}

// writeColumns aligns the first column and the last to the left, and numbers to the right.
func writeColumns(w io.Writer, rows [][]string) error {
	last := len(rows[0]) - 1
	widths := make([]int, last+1)
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			switch i {
			case 0, last:
				line.WriteString(cell + pad)
			default:
				line.WriteString(pad + cell)
			}
			line.WriteString("  ")
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (l LaneReport) handshakes() []string {
	if l.HandshakesFull+l.HandshakesResumed == 0 {
		return []string{"-", "-"}
	}
	return []string{thousands(l.HandshakesFull), thousands(l.HandshakesResumed)}
}

func (l Latency) cells() []string {
	if l.Count == 0 {
		return []string{"-", "-", "-", "-"}
	}
	return []string{milliseconds(l.P50), milliseconds(l.P99), milliseconds(l.P999), milliseconds(l.Max)}
}

// milliseconds writes about three digits, which is what the histograms hold.
func milliseconds(ms float64) string {
	switch {
	case ms < 10:
		return fmt.Sprintf("%.2f", ms)
	case ms < 100:
		return fmt.Sprintf("%.1f", ms)
	default:
		return thousands(int64(ms + 0.5))
	}
}

func (l LaneReport) trouble() string {
	var parts []string
	for _, f := range l.Failures {
		parts = append(parts, thousands(f.Count)+" "+f.String())
	}
	if l.Late > 0 {
		parts = append(parts, thousands(l.Late)+" begun late by the client")
	}
	return strings.Join(parts, ", ")
}
