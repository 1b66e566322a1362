package bench

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-e3b9a99f/baton/bench/internal/figures"
)

// Conditions are what makes a run fail. Any one is enough.
type Conditions []Condition

// Condition is one of them, such as "lost>0".
type Condition struct {
	text     string
	quantity quantity
	percent  float64 // of a quantile
	windows  string  // "", "upgrading" or "steady": which operations a quantile is of
	compare  string  // "" for what is or is not
	limit    float64
}

type quantity struct {
	name string
	unit unit
	lane func(LaneReport) float64 // nil: it is the run's
	run  func(Report) float64
}

type unit int

const (
	number unit = iota
	milli
	fraction
	truth
)

var quantities = []quantity{
	{name: "lost", lane: func(l LaneReport) float64 { return float64(l.Lost - l.Allowed) }},
	{name: "hidden", lane: func(l LaneReport) float64 { return float64(l.HiddenByRetry) }},
	{name: "refused", lane: func(l LaneReport) float64 { return float64(l.Refused) }},
	{name: "duplicates", lane: func(l LaneReport) float64 { return float64(l.Duplicates) }},
	{name: "reopened", lane: func(l LaneReport) float64 { return float64(l.Reopened) }},
	{name: "loss-bound", unit: fraction, lane: func(l LaneReport) float64 { return l.LossBound }},
	{name: "max", unit: milli, lane: func(l LaneReport) float64 { return max(l.Steady.Max, l.Upgrading.Max) }},
	{name: "stall", unit: milli, lane: func(l LaneReport) float64 { return l.Stall }},
	{name: "lag", unit: milli, lane: func(l LaneReport) float64 { return l.Lag.P99 }},
	{name: "failed-upgrades", run: func(r Report) float64 { return float64(r.Verdict.FailedUpgrade) }},
	{name: "void", unit: truth, run: func(r Report) float64 { return oneIf(r.Verdict.Void) }},
	{name: "interrupted", unit: truth, run: func(r Report) float64 { return oneIf(r.Interrupted) }},
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// conditionForm is a name and, unless it is what is or is not, how it compares to what.
var conditionForm = regexp.MustCompile(`^(?:(upgrading|steady)\.)?([a-z][a-z0-9.-]*)\s*(?:(>=|<=|>|<)\s*(\S+))?$`)

// ParseConditions reads conditions with commas between, as "lost>0, p99.9>50ms, stall>1s, void". What can be compared,
// by >, >=, < or <=, is
//
//   - a number: lost (without what is allowed), hidden (by retry), refused, duplicates, reopened, failed-upgrades;
//   - a time: any quantile such as p99.9, max, stall, lag (99 of 100 operations began within it);
//   - a fraction, as 1e-5 or 0.1%: loss-bound, the bound on the loss rate at 95 %.
//
// void and interrupted stand alone. Quantities lists all but the quantiles. A quantile is of a lane's whole run;
// upgrading.p99 is of what touched an upgrade only, and steady.p99 of the rest.
func ParseConditions(text string) (Conditions, error) {
	var all Conditions
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		c, err := parseCondition(part)
		if err != nil {
			return nil, fmt.Errorf("condition %q: %w", part, err)
		}
		all = append(all, c)
	}
	return all, nil
}

func parseCondition(text string) (c Condition, err error) {
	form := conditionForm.FindStringSubmatch(text)
	if form == nil {
		return c, errors.New(`give a name, a comparison and a value, as "lost>0"`)
	}
	c.text, c.windows, c.compare = text, form[1], form[3]
	name, value := form[2], form[4]
	if percent, found := strings.CutPrefix(name, "p"); found && strings.Trim(percent, "0123456789.") == "" {
		if c.percent, err = strconv.ParseFloat(percent, 64); err != nil || c.percent <= 0 || c.percent >= 100 {
			return c, errors.New("a quantile lies between p0 and p100, as p99.9")
		}
		c.quantity = quantity{name: name, unit: milli, lane: c.quantile}
	} else if i := slices.IndexFunc(quantities, func(q quantity) bool { return q.name == name }); i >= 0 {
		c.quantity = quantities[i]
	} else {
		return c, fmt.Errorf("there is no %q; there are quantiles such as p99.9, and %s", name, strings.Join(Quantities(), ", "))
	}
	switch {
	case c.windows != "" && c.percent == 0:
		return c, fmt.Errorf("only quantiles can be told apart by %q", c.windows)
	case c.quantity.unit == truth && c.compare != "":
		return c, fmt.Errorf("%q stands alone", name)
	case c.quantity.unit != truth && c.compare == "":
		return c, fmt.Errorf(`say how much is too much, as "%s>%s"`, name, c.quantity.unit.example())
	}
	c.limit, err = c.quantity.unit.parse(value)
	return c, err
}

// Quantities returns the names of what a condition can be on, besides quantiles.
func Quantities() (names []string) {
	for _, q := range quantities {
		names = append(names, q.name)
	}
	return names
}

// OfUpgrades returns the conditions that can never be met by a run without upgrades, as they were written: those on
// upgrading quantiles.
func (c Conditions) OfUpgrades() (texts []string) {
	for _, condition := range c {
		if condition.windows == "upgrading" {
			texts = append(texts, condition.text)
		}
	}
	return texts
}

func (u unit) example() string {
	return [...]string{number: "0", milli: "50ms", fraction: "1e-5", truth: ""}[u]
}

func (u unit) parse(value string) (limit float64, err error) {
	switch u {
	case truth:
		return 0, nil
	case milli:
		d, err := time.ParseDuration(value)
		if err != nil || d < 0 {
			return 0, fmt.Errorf("%q is no time; give one with its unit, as 50ms", value)
		}
		return float64(d) / float64(time.Millisecond), nil
	}
	digits, ofHundred := strings.CutSuffix(value, "%")
	limit, err = strconv.ParseFloat(digits, 64)
	if err != nil || !(limit >= 0) || ofHundred && u != fraction {
		return 0, fmt.Errorf("%q is no number to compare to; give one such as %s", value, u.example())
	}
	if ofHundred {
		limit /= 100
	}
	return limit, nil
}

func (u unit) format(value float64) string {
	switch u {
	case milli:
		return figures.Milliseconds(value) + " ms"
	case fraction:
		return scientific(value)
	default:
		return figures.Thousands(int64(value))
	}
}

// Met returns a line for each lane in which a condition is met, or for the run, as "http new: lost is 3 (fails on
// lost>0)". There are none if the run does not fail.
func (c Conditions) Met(r Report) (lines []string) {
	for _, condition := range c {
		lines = append(lines, condition.met(r)...)
	}
	return lines
}

func (c Condition) met(r Report) (lines []string) {
	q := c.quantity
	if q.lane == nil {
		value := q.run(r)
		switch {
		case q.unit == truth && value != 0:
			return []string{fmt.Sprintf("the run is %s (fails on %s)", q.name, c.text)}
		case q.unit != truth && c.holds(value):
			return []string{fmt.Sprintf("the run: %s is %s (fails on %s)", q.name, q.unit.format(value), c.text)}
		}
		return nil
	}
	for _, l := range r.Lanes {
		if value := q.lane(l); c.holds(value) {
			what := q.name
			if c.windows != "" {
				what = c.windows + " " + what
			}
			lines = append(lines, fmt.Sprintf("%s: %s is %s (fails on %s)", l.Name, what, q.unit.format(value), c.text))
		}
	}
	return lines
}

func (c Condition) holds(value float64) bool {
	switch c.compare {
	case ">":
		return value > c.limit
	case ">=":
		return value >= c.limit
	case "<":
		return value < c.limit
	default:
		return value <= c.limit
	}
}

// quantile is 0 if nothing succeeded: such a lane has losses to fail on.
func (c Condition) quantile(l LaneReport) float64 {
	windows := []Window{l.Before, l.During, l.After}
	switch c.windows {
	case "upgrading":
		windows = windows[1:2]
	case "steady":
		windows = []Window{l.Before, l.After}
	}
	estimate, _ := quantileOf(c.percent, windows...)
	return estimate.Value
}
