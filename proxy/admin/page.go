package admin

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// page is what is printed. Each line begins with its mark.
type page struct {
	bytes.Buffer
	now time.Time
}

// line prints what may have several, such as all that is wrong with a configuration.
func (p *page) line(problem bool, format string, args ...any) {
	indent := ""
	for line := range strings.SplitSeq(strings.TrimSpace(fmt.Sprintf(format, args...)), "\n") {
		fmt.Fprintf(p, "%s%s%s\n", mark(problem), indent, printable(line))
		indent = "  "
	}
}

type row struct {
	problem bool
	cells   []string
}

// table prints rows in columns, without those at the right end that are empty in all of them.
func (p *page) table(head []string, rows []row) {
	if len(rows) == 0 {
		return
	}
	p.WriteByte('\n')
	width := 0
	for _, r := range rows {
		for i, cell := range r.cells {
			if cell != "" {
				width = max(width, i+1)
			}
		}
	}
	var t bytes.Buffer
	out := tabwriter.NewWriter(&t, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, mark(false)+strings.Join(head[:width], "\t"))
	for _, r := range rows {
		cells := make([]string, min(width, len(r.cells)))
		for i := range cells {
			cells[i] = cmp.Or(printable(r.cells[i]), "-")
		}
		fmt.Fprintln(out, mark(r.problem)+strings.Join(cells, "\t"))
	}
	_ = out.Flush() // into memory
	p.Write(t.Bytes())
}

func mark(problem bool) string {
	if problem {
		return "! "
	}
	return "  "
}

// lasting says how long ago at was, between two words; nothing where that is not known.
func (p *page) lasting(before string, at time.Time, after string) string {
	if at.IsZero() {
		return ""
	}
	return before + duration(p.now.Sub(at)) + after
}

// duration prints the two largest units: "3d 4h", "12m 5s". A clock that went back makes it "0s".
func duration(d time.Duration) string {
	s := max(0, int64(d/time.Second))
	switch {
	case s >= 86400:
		return fmt.Sprintf("%dd %dh", s/86400, s%86400/3600)
	case s >= 3600:
		return fmt.Sprintf("%dh %dm", s/3600, s%3600/60)
	case s >= 60:
		return fmt.Sprintf("%dm %ds", s/60, s%60)
	}
	return fmt.Sprintf("%ds", s)
}

// printable keeps what a server or a file said from moving the cursor or breaking the table.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}
