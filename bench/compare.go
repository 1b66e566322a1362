package bench

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-e3b9a99f/baton/bench/internal/figures"
)

// Comparison is two reports side by side.
type Comparison struct {
	A     Side             `json:"a"`
	B     Side             `json:"b"`
	Lanes []LaneComparison `json:"lanes"`
	// OnlyA and OnlyB name the lanes that the other report does not have.
	OnlyA []string `json:"only_a,omitempty"`
	OnlyB []string `json:"only_b,omitempty"`
}

// Side is what one of the two reports comes to.
type Side struct {
	Name        string    `json:"name,omitempty"` // for people, as its file's; Compare leaves it empty
	Started     time.Time `json:"started"`
	Verdict     string    `json:"verdict"` // Verdict.Line
	Void        bool      `json:"void"`
	Interrupted bool      `json:"interrupted"`
}

// LaneComparison is a lane that both reports have.
type LaneComparison struct {
	Name string     `json:"name"`
	Rows []Compared `json:"rows"`
}

// lossRate is the one Compared.What that is no time.
const lossRate = "loss rate"

// Compared is one quantity of a lane. What is "loss rate" (a fraction), or a latency or stall in milliseconds.
type Compared struct {
	What string   `json:"what"`
	A    Estimate `json:"a"`
	B    Estimate `json:"b"`
	// Ratio is B to A, or 0 if A is 0.
	Ratio float64 `json:"ratio"`
	// Differ is set if the two intervals do not overlap. Where they do, the difference may be chance.
	Differ bool `json:"differ"`
}

// Estimate is a measured value and the interval of 95 % confidence around it. Exact is set for a single event, as the
// longest stall, which has no interval: Low and High are then its value.
type Estimate struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
	Exact bool    `json:"exact,omitempty"`
}

// Compare puts two reports side by side. Its intervals are exact for requests that are independent of each other.
// Requests that meet the same hiccup are not, so a difference in the last quantiles of two short runs wants a second
// look: run both again.
func Compare(a, b Report) Comparison {
	c := Comparison{A: a.side(), B: b.side()}
	for _, la := range a.Lanes {
		i := slices.IndexFunc(b.Lanes, func(l LaneReport) bool { return l.Name == la.Name })
		if i < 0 {
			c.OnlyA = append(c.OnlyA, la.Name)
			continue
		}
		c.Lanes = append(c.Lanes, compareLanes(la, b.Lanes[i]))
	}
	for _, lb := range b.Lanes {
		if !slices.ContainsFunc(a.Lanes, func(l LaneReport) bool { return l.Name == lb.Name }) {
			c.OnlyB = append(c.OnlyB, lb.Name)
		}
	}
	return c
}

func (r Report) side() Side {
	return Side{Started: r.Started, Verdict: r.Verdict.Line, Void: r.Verdict.Void, Interrupted: r.Interrupted}
}

func compareLanes(a, b LaneReport) LaneComparison {
	c := LaneComparison{Name: a.Name}
	c.add(lossRate, a.lossRate(), b.lossRate())
	for _, q := range []struct {
		name    string
		percent float64
	}{{"p50", 50}, {"p99", 99}, {"p99.9", 99.9}} {
		for _, of := range []struct {
			name    string
			windows func(LaneReport) []Window
		}{
			{"", func(l LaneReport) []Window { return []Window{l.Before, l.During, l.After} }},
			{"upgrading ", func(l LaneReport) []Window { return []Window{l.During} }},
		} {
			ea, okA := quantileOf(q.percent, of.windows(a)...)
			eb, okB := quantileOf(q.percent, of.windows(b)...)
			if okA && okB {
				c.add(of.name+q.name, ea, eb)
			}
		}
	}
	c.add("longest stall", Estimate{a.Stall, a.Stall, a.Stall, true}, Estimate{b.Stall, b.Stall, b.Stall, true})
	return c
}

func (c *LaneComparison) add(what string, a, b Estimate) {
	row := Compared{What: what, A: a, B: b, Differ: !a.Exact && !b.Exact && (a.High < b.Low || b.High < a.Low)}
	if a.Value != 0 {
		row.Ratio = b.Value / a.Value
	}
	c.Rows = append(c.Rows, row)
}

func (l LaneReport) lossRate() Estimate {
	n := l.OK + l.Lost
	if n == 0 {
		return Estimate{High: 1}
	}
	const eachSide = 1 - (1-confidence)/2
	return Estimate{Value: float64(l.Lost) / float64(n), Low: lossFloor(l.Lost, n, eachSide), High: lossBound(l.Lost, n, eachSide)}
}

// quantileOf estimates a quantile in milliseconds, with the order statistics that hold it with 95 % confidence. It is
// not ok if nothing was measured.
func quantileOf(percent float64, windows ...Window) (e Estimate, ok bool) {
	sum := newHistogram()
	for _, w := range windows {
		h, err := decode(w.Histogram, w.Latency.Count)
		if err != nil {
			return e, false
		}
		sum.merge(h)
	}
	n := float64(sum.TotalCount())
	if n == 0 {
		return e, false
	}
	const sigmas = 1.959964 // of the normal distribution: 95 % lie within
	q := percent / 100
	spread := sigmas * math.Sqrt(n*q*(1-q))
	at := func(rank float64) float64 {
		return ms(sum.quantile(100 * min(max(rank, 1), n) / n))
	}
	return Estimate{Value: ms(sum.quantile(percent)), Low: at(math.Floor(n*q - spread)), High: at(math.Ceil(n*q+spread) + 1)}, true
}

// WriteText writes the comparison for people: which report is which, and a table with the units of its rows.
func (c Comparison) WriteText(w io.Writer) error {
	if err := c.writeSides(w); err != nil {
		return err
	}
	rows := [][]string{{"lane", "what", "A", "95 % within", "B", "95 % within", "B/A", ""}}
	for _, l := range c.Lanes {
		for i, r := range l.Rows {
			name := ""
			if i == 0 {
				name = l.Name
			}
			what := r.What + ", ms"
			if r.What == lossRate {
				what = r.What + ", %"
			}
			rows = append(rows, slices.Concat([]string{name, what}, r.cells(r.A), r.cells(r.B), []string{r.ratio(), r.words()}))
		}
	}
	if err := writeColumns(w, rows); err != nil {
		return err
	}
	for _, only := range []struct {
		report string
		lanes  []string
	}{{"A", c.OnlyA}, {"B", c.OnlyB}} {
		for _, name := range only.lanes {
			if _, err := fmt.Fprintf(w, "%s: only in %s\n", name, only.report); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeSides says what A and B are, and what is against taking them at their word.
func (c Comparison) writeSides(w io.Writer) error {
	var b strings.Builder
	sides := []struct {
		letter string
		Side
	}{{"A", c.A}, {"B", c.B}}
	for _, s := range sides {
		name := cmp.Or(s.Name, "a run")
		fmt.Fprintf(&b, "%s: %s, begun %s: %s\n", s.letter, name, s.Started.Format("2006-01-02 15:04:05 MST"), s.Verdict)
	}
	for _, s := range sides {
		if s.Void {
			fmt.Fprintf(&b, "%s is VOID: its client was no fair witness, so a difference may be the client's; run it again\n", s.letter)
		}
		if s.Interrupted {
			fmt.Fprintf(&b, "%s was INTERRUPTED: it lacks what was to come, such as upgrades\n", s.letter)
		}
	}
	b.WriteString("\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func (r Compared) cells(e Estimate) []string {
	number := figures.Milliseconds
	if r.What == lossRate {
		number = func(f float64) string { return strconv.FormatFloat(100*f, 'g', 3, 64) }
	}
	if e.Exact {
		return []string{number(e.Value), "-"}
	}
	return []string{number(e.Value), number(e.Low) + " to " + number(e.High)}
}

func (r Compared) ratio() string {
	if r.Ratio == 0 {
		return "-"
	}
	return strconv.FormatFloat(r.Ratio, 'f', 2, 64)
}

func (r Compared) words() string {
	switch {
	case r.A.Exact:
		return "one event each"
	case !r.Differ:
		return "may be chance"
	case r.B.Value > r.A.Value:
		return "B is higher"
	default:
		return "B is lower"
	}
}
