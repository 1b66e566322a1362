package bench

import (
	"fmt"
	"io"
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
	drawn  int // lines on the terminal that the next drawing replaces
	last   Progress
}

// NewLive returns a Live that writes to w: one line a second, or, if w is a terminal, a block that it draws again in
// place.
func NewLive(w io.Writer) *Live {
	return &Live{w: w, redraw: isTerminal(w)}
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
		block := l.last.block()
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
		fmt.Fprintf(&b, "  upgrades %d/%d", p.Upgraded, p.Upgrades)
	}
	if p.Generation != "" {
		fmt.Fprintf(&b, "  generation %s", p.Generation)
	}
	return b.String()
}

func (p Progress) block() string {
	rows := [][]string{{"lane", "requests", "lost", "p99 ms", ""}}
	for _, l := range p.Lanes {
		rows = append(rows, []string{l.Name, figures.Thousands(l.Operations), figures.Thousands(l.Lost), figures.Milliseconds(ms(l.P99)), ""})
	}
	var b strings.Builder
	b.WriteString(p.line() + "\n")
	writeColumns(&b, rows)
	return b.String()
}

func (u Upgrade) line() string {
	if u.Error != "" {
		return fmt.Sprintf("      upgrade %d failed: %s", u.Number, u.Error)
	}
	if e := u.Event; e != nil && u.Serving == 0 {
		return fmt.Sprintf("      event %d: %s", u.Number, e)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "      upgrade %d: ", u.Number)
	if u.ToGeneration != "" {
		fmt.Fprintf(&b, "generation %s ", u.ToGeneration)
	}
	fmt.Fprintf(&b, "serving after %s ms", figures.Milliseconds(u.Serving))
	if u.ToPID != 0 {
		fmt.Fprintf(&b, ", pid %d after %s ms", u.ToPID, figures.Milliseconds(u.PIDFile))
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
	return fmt.Sprintf("%s; %s, %v apart", text, plural(p.Upgrades.Count, "upgrade"), p.Upgrades.Interval.Round(time.Millisecond))
}
