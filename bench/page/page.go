// Package page draws a report of package bench as one HTML file, which needs nothing beside it.
//
//	report, err := bench.Run(ctx, plan)
//	...
//	err = page.Write(file, report)
//
// The page has the verdict, the lanes, latency and losses over time with the events marked, a histogram for each lane,
// the upgrades and other events, the losses one by one, and how it was measured. It works offline, in light and dark, and every chart has
// its numbers in a table beside it. The charts are drawn by uPlot (MIT, in the folder uplot).
package page

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/seed-e3b9a99f/baton/bench"
	"github.com/seed-e3b9a99f/baton/bench/internal/figures"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

//go:embed page.js
var pageJS string

//go:embed uplot/uPlot.iife.min.js
var uplotJS string

//go:embed uplot/uPlot.min.css
var uplotCSS string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"ms": milliseconds, "count": figures.Thousands, "seconds": func(s float64) string { return fmt.Sprintf("%.1f s", s) },
	"rate": func(x float64) string { return fmt.Sprintf("%.1e", x) },
}).Parse(pageHTML))

// Write writes the report as a page to w.
func Write(w io.Writer, r bench.Report) error {
	data, err := chartData(r)
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	encoded, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	err = page.Execute(w, map[string]any{
		"Report": r, "Data": template.JS(encoded), "CSS": template.CSS(uplotCSS + pageCSS),
		"UPlot": template.JS(uplotJS), "Script": template.JS(pageJS), "Lanes": data.Lanes, "Events": kinds(r.Upgrades),
	})
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	return nil
}

// charts is what page.js draws.
type charts struct {
	Step     float64  `json:"step"`
	Duration float64  `json:"duration"`
	Events   []marker `json:"events"`
	Lanes    []lane   `json:"lanes"`
}

// marker is an event on the time axis. Class ends the name of the CSS variable with its colour.
type marker struct {
	From  float64 `json:"from"`
	Until float64 `json:"until"`
	Class string  `json:"class"`
}

// kind is a kind of event in the key of the charts.
type kind struct{ Class, Name string }

func kindOf(u bench.Upgrade) kind {
	if u.Error != "" {
		return kind{"failed", "those that failed"}
	}
	class, _, _ := strings.Cut(u.What(), " ")
	return kind{class, u.What() + "s"}
}

// kinds are those that there are.
func kinds(events []bench.Upgrade) (all []kind) {
	for _, u := range events {
		if k := kindOf(u); !slices.Contains(all, k) {
			all = append(all, k)
		}
	}
	return all
}

// lane is a lane's charts. Index names its elements.
type lane struct {
	Index int       `json:"index"`
	Name  string    `json:"name"`
	At    []float64 `json:"at"`
	P50   []value   `json:"p50"`
	P99   []value   `json:"p99"`
	Max   []value   `json:"max"`
	Lost  []value   `json:"lost"`
	// Histograms are by window: how many operations took up to each of the bounds, in milliseconds.
	Bounds []float64          `json:"bounds"`
	Counts map[string][]int64 `json:"counts"`
}

// value is a latency in milliseconds, or a count of losses. Where nothing succeeded, or nothing was lost, it is 0.
type value float64

// MarshalJSON writes 0 as null: the chart has nothing there.
func (v value) MarshalJSON() ([]byte, error) {
	if v == 0 {
		return []byte("null"), nil
	}
	return json.Marshal(float64(v))
}

func chartData(r bench.Report) (charts, error) {
	c := charts{Step: r.Step, Duration: r.Duration, Events: []marker{}, Lanes: []lane{}}
	for _, u := range r.Upgrades {
		until := u.Until
		if until == 0 {
			until = r.Duration
		}
		c.Events = append(c.Events, marker{u.At, until, kindOf(u).Class})
	}
	for i, l := range r.Lanes {
		drawn := lane{Index: i, Name: l.Name, Bounds: bounds, Counts: make(map[string][]int64)}
		for _, p := range l.Series {
			drawn.At = append(drawn.At, p.At)
			drawn.P50, drawn.P99, drawn.Max = append(drawn.P50, value(p.P50)), append(drawn.P99, value(p.P99)), append(drawn.Max, value(p.Max))
			drawn.Lost = append(drawn.Lost, value(p.Lost))
		}
		for name, window := range map[string]bench.Window{"before": l.Before, "during": l.During, "after": l.After} {
			counts, err := bucketCounts(window.Histogram)
			if err != nil {
				return charts{}, fmt.Errorf("lane %s, %s upgrades: %w", l.Name, name, err)
			}
			drawn.Counts[name] = counts
		}
		c.Lanes = append(c.Lanes, drawn)
	}
	return c, nil
}

// bounds are the upper ends of the histograms' bars, in milliseconds: eight to a factor of ten.
var bounds = func() (all []float64) {
	for exponent := -16; exponent <= 40; exponent++ {
		all = append(all, math.Round(math.Pow(10, float64(exponent)/8)*1e4)/1e4)
	}
	return all
}()

func bucketCounts(h bench.Histogram) ([]int64, error) {
	decoded, err := h.Decode()
	if err != nil {
		return nil, err
	}
	counts := make([]int64, len(bounds))
	i := 0
	for _, bar := range decoded.Distribution() {
		for i < len(bounds)-1 && float64(bar.To)/1000 > bounds[i] {
			i++
		}
		counts[i] += bar.Count
	}
	return counts, nil
}

func milliseconds(ms float64) string {
	if ms == 0 {
		return "–"
	}
	return figures.Milliseconds(ms)
}
