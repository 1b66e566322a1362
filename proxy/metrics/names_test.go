package metrics

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// dashboard is what a test wants to know of deploy/grafana.json.
type dashboard struct {
	Panels []struct {
		ID      int
		Type    string
		Title   string
		GridPos struct{ X, Y, W, H int }
		Targets []struct{ Expr, RefID string }
	}
	Annotations struct {
		List []struct{ Name, Expr string }
	}
	Templating struct {
		List []struct{ Name, Definition string }
	}
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	file, err := os.ReadFile("../../deploy/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(file, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// expressions returns each of d's, by where it stands.
func (d dashboard) expressions() map[string]string {
	all := make(map[string]string)
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			all["panel "+p.Title+" "+target.RefID] = target.Expr
		}
	}
	for _, a := range d.Annotations.List {
		all["annotation "+a.Name] = a.Expr
	}
	for _, v := range d.Templating.List {
		if v.Definition != "" {
			all["variable "+v.Name] = v.Definition
		}
	}
	return all
}

var (
	metricName = regexp.MustCompile(`\bbaton_\w+`)
	variable   = regexp.MustCompile(`\$(\w+)`)
)

func TestTheDashboardKnowsTheMetrics(t *testing.T) {
	d := readDashboard(t)
	shown := make(map[string]bool)
	known := []string{"__rate_interval", "__range"} // Grafana's own
	for _, v := range d.Templating.List {
		known = append(known, v.Name)
	}
	for where, expr := range d.expressions() {
		names := metricName.FindAllString(expr, -1)
		if len(names) == 0 {
			t.Errorf("%s names no metric: %s", where, expr)
		}
		for _, name := range names {
			if base := strings.TrimSuffix(name, "_bucket"); base == RequestSeconds {
				name = base
			}
			if !slices.Contains(Names, name) {
				t.Errorf("%s: there is no metric %s", where, name)
			}
			if strings.HasPrefix(where, "panel ") {
				shown[name] = true
			}
		}
		for _, pair := range []string{"()", "{}", "[]"} {
			if strings.Count(expr, pair[:1]) != strings.Count(expr, pair[1:]) {
				t.Errorf("%s: %s do not match: %s", where, pair, expr)
			}
		}
		for _, v := range variable.FindAllStringSubmatch(expr, -1) {
			if !slices.Contains(known, v[1]) {
				t.Errorf("%s: there is no variable %s", where, v[1])
			}
		}
	}
	for _, name := range Names {
		if !shown[name] {
			t.Errorf("no panel shows %s", name)
		}
	}
	if len(d.Annotations.List) == 0 || !strings.Contains(d.Annotations.List[0].Expr, Generation) {
		t.Error("upgrades are no annotation")
	}
}

func TestTheDashboardsPanelsDoNotOverlap(t *testing.T) {
	ids, cells := make(map[int]string), make(map[string]string)
	for _, p := range readDashboard(t).Panels {
		if other, ok := ids[p.ID]; ok || p.Title == "" {
			t.Errorf("panel %q has no title, or the number of %q", p.Title, other)
		}
		ids[p.ID] = p.Title
		if (len(p.Targets) == 0) != (p.Type == "row") || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %q asks nothing, or stands outside the grid", p.Title)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				cell := fmt.Sprint(p.GridPos.X+x, " ", p.GridPos.Y+y)
				if other, ok := cells[cell]; ok {
					t.Fatalf("%q covers %q", p.Title, other)
				}
				cells[cell] = p.Title
			}
		}
	}
}

func TestNames(t *testing.T) {
	for i, name := range Names {
		if !strings.HasPrefix(name, "baton_") || !validName.MatchString(name) || slices.Contains(Names[:i], name) {
			t.Errorf("%s is invalid or there twice", name)
		}
	}
	source, err := os.ReadFile("names.go")
	if err != nil {
		t.Fatal(err)
	}
	if constants := strings.Count(string(source), `= "baton_`); constants != len(Names) {
		t.Errorf("there are %d constants, and %d in Names", constants, len(Names))
	}
	if !ascending(SecondsBuckets) {
		t.Errorf("the buckets are %v", SecondsBuckets)
	}
}
