package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed-e3b9a99f/baton/bench/internal/figures"
)

// Live shows a run while it goes. Its methods are made to be Plan.Progress and Plan.Upgraded.
type Live struct {
	mu     sync.Mutex
	w      io.Writer
	redraw bool
	size   func() (columns, lines int) // of the terminal; 0, 0 if it does not say
	drawn  int                         // lines on the terminal that the next drawing replaces
	last   Progress
}

// NewLive returns a Live that writes to w: one line a second, or, if w is a terminal, a block that it draws again in
// place. Lanes that lost nothing share a line where the terminal is too low for all.
func NewLive(w io.Writer) *Live {
	columns, _ := terminalSize(w)
	return &Live{w: w, redraw: columns > 0, size: func() (int, int) { return terminalSize(w) }}
}

// Progress shows how the run goes.
func (l *Live) Progress(p Progress) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = p
	if l.redraw {
		l.draw("")
		return
	}
	fmt.Fprintln(l.w, p.line())
}

// Upgraded shows an upgrade that is over.
func (l *Live) Upgraded(u Upgrade) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.redraw {
		l.draw(u.line() + "\n")
		return
	}
	fmt.Fprintln(l.w, u.line())
}

// Close takes the block off the terminal, so that the final table is the only one. What was told of upgrades stays.
func (l *Live) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.redraw {
		l.last = Progress{}
		l.draw("")
	}
}

// draw replaces the block by first, which stays, and the block anew.
func (l *Live) draw(first string) {
	var b strings.Builder
	if l.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", l.drawn) // up
	}
	b.WriteString("\x1b[J" + first) // clear to the end of the screen
	l.drawn = 0
	if l.last.Elapsed > 0 {
		block := l.last.block(l.size())
		l.drawn = strings.Count(block, "\n")
		b.WriteString(block)
	}
	io.WriteString(l.w, b.String())
}

func (p Progress) line() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%4.0fs %7s op/s  lost %s  p99 %s ms", p.Elapsed.Seconds(), figures.Thousands(int64(p.PerSecond+0.5)),
		figures.Thousands(p.Lost), figures.Milliseconds(ms(p.P99)))
	if p.Upgrades > 0 {
		what := "upgrades"
		if p.Mixed {
			what = "events"
		}
		fmt.Fprintf(&b, "  %s %d/%d", what, p.Upgraded, p.Upgrades)
	}
	if p.Generation != "" {
		fmt.Fprintf(&b, "  generation %s", p.Generation)
	}
	return b.String()
}

// block is what stands on a terminal of this size. A line that wrapped, or a block that scrolled, could not be drawn over.
func (p Progress) block(columns, lines int) string {
	rows := [][]string{{"lane", "requests", "lost", "p99 ms", ""}}
	shown, rest := p.Lanes, []LaneProgress(nil)
	if room := lines - 3; lines > 0 && len(shown) > room { // but for the first line, the heads, and the cursor's line
		shown, rest = notable(shown, max(room-1, 0))
	}
	for _, l := range shown {
		rows = append(rows, l.cells(l.Name))
	}
	if len(rest) > 0 {
		var all LaneProgress
		for _, l := range rest {
			all.Operations += l.Operations
			all.Lost += l.Lost
			all.P99 = max(all.P99, l.P99)
		}
		rows = append(rows, all.cells(fmt.Sprintf("%d more", len(rest))))
	}
	var b strings.Builder
	writeColumns(&b, rows)
	all := slices.Insert(strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n"), 0, p.line())
	b.Reset()
	for _, line := range all {
		if columns > 0 && len(line) >= columns {
			line = line[:columns-1]
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

func (l LaneProgress) cells(name string) []string {
	return []string{name, figures.Thousands(l.Operations), figures.Thousands(l.Lost), figures.Milliseconds(ms(l.P99)), ""}
}

// notable picks n lanes, those with losses before the others, and leaves both parts in order.
func notable(lanes []LaneProgress, n int) (picked, rest []LaneProgress) {
	losing := 0
	for _, l := range lanes {
		if l.Lost > 0 {
			losing++
		}
	}
	losing = min(losing, n)
	others := n - losing
	for _, l := range lanes {
		left := &others
		if l.Lost > 0 {
			left = &losing
		}
		if *left == 0 {
			rest = append(rest, l)
			continue
		}
		*left--
		picked = append(picked, l)
	}
	return picked, rest
}

func (u Upgrade) line() string {
	if u.Error != "" {
		return fmt.Sprintf("      %s %d failed: %s", u.What(), u.Number, u.Error)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "      %s %d: ", u.What(), u.Number)
	if e := u.Event; e != nil && u.Serving == 0 {
		b.WriteString(e.String())
		return b.String()
	}
	switch u.SeenBy {
	case SignAnswer:
		fmt.Fprintf(&b, "triggered within %s ms, answering after %s ms", figures.Milliseconds(u.Triggered), figures.Milliseconds(u.Serving))
	case SignWorkers:
		fmt.Fprintf(&b, "new workers of pid %d after %s ms", u.FromPID, figures.Milliseconds(u.Serving))
	case SignPIDFile:
		fmt.Fprintf(&b, "pid %d in charge after %s ms", u.ToPID, figures.Milliseconds(u.PIDFile))
	default:
		if u.ToGeneration != "" {
			fmt.Fprintf(&b, "generation %s ", u.ToGeneration)
		}
		fmt.Fprintf(&b, "serving after %s ms", figures.Milliseconds(u.Serving))
		if u.ToPID != 0 {
			fmt.Fprintf(&b, ", pid %d after %s ms", u.ToPID, figures.Milliseconds(u.PIDFile))
		}
	}
	return b.String()
}

// Header is what stands above a run: what is measured, and how.
func (p Plan) Header() string {
	p = p.withDefaults()
	var names []string
	for _, l := range p.Lanes {
		names = append(names, l.Name())
	}
	text := fmt.Sprintf("%s, each at %g op/s, %d connections where they persist", strings.Join(names, ", "), p.Rate, p.Conns)
	if p.Upgrades == nil {
		return fmt.Sprintf("%s; %v without upgrades", text, p.Duration)
	}
	what := plural(p.Upgrades.Count, "upgrade")
	if p.Upgrades.mixed() {
		what = fmt.Sprintf("%s (%s)", plural(p.Upgrades.Count, "event"), join(p.Upgrades.Kinds))
	}
	return fmt.Sprintf("%s; %s, %v apart", text, what, p.Upgrades.Interval.Round(time.Millisecond))
}
