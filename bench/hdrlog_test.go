package bench

import (
	"encoding/xml"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

var updateGolden = flag.Bool("update-golden", false, "write testdata/reports anew, to be looked at")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "reports", name)
	if *updateGolden {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != strings.ReplaceAll(string(want), "\r\n", "\n") {
		t.Errorf("%s has become\n%s\nwant\n%s", path, got, want)
	}
}

// outputReport is a small report that has something of everything.
func outputReport() Report {
	good, bad := laneOf("https keep-alive, h2", 2000, 0, time.Millisecond), laneOf("tcp new", 997, 3, 2*time.Millisecond)
	for i, l := range []*LaneReport{&good, &bad} {
		s := newSeries()
		for second := range 3 {
			s.add(time.Duration(second)*time.Second, Result{Failure: Failure{Class: OK}}, time.Duration(second+i+1)*time.Millisecond)
		}
		s.add(4*time.Second, Result{Failure: Failure{Class: ConnectRefused}}, 0)
		l.Series = s.points()
	}
	bad.During, bad.Before = bad.Before, Window{}
	bad.Failures = []FailureCount{{Failure{ConnectRefused, "ECONNREFUSED"}, 3, `dial tcp 127.0.0.1:80: connect: <refused> & "gone"`}}
	r := Report{
		Version: SchemaVersion, Runs: 1, Started: agreed, Duration: 5, Step: 1, Plan: "https keep-alive, tcp new, each at 400 op/s",
		Lanes:    []LaneReport{good, bad},
		Upgrades: []Upgrade{{Number: 1, At: 1, Serving: 12.5, Lost: 3}, {Number: 2, At: 3, Event: &Event{Number: 2, Kind: KindRotate, Effective: 15}}, {Number: 3, At: 4, Error: "it died"}},
	}
	r.Verdict = Plan{}.withDefaults().judge(r)
	return r
}

func written(t *testing.T, write func(*strings.Builder) error) string {
	t.Helper()
	var b strings.Builder
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestHDRLog(t *testing.T) {
	text := written(t, func(b *strings.Builder) error { return WriteHDRLog(b, outputReport()) })
	golden(t, "run.hlog", regexp.MustCompile("HISTF.*").ReplaceAllString(text, "HISTF...")) // what zlib makes may change
	reader := hdrhistogram.NewHistogramLogReader(strings.NewReader(text))
	var tags []string
	for {
		h, err := reader.NextIntervalHistogram()
		if err != nil {
			t.Fatal(err)
		}
		if h == nil {
			break
		}
		tags = append(tags, h.Tag())
		if h.TotalCount() != 1 || h.Max() < 1000 || h.Max() > 4100 || h.EndTimeMs()-h.StartTimeMs() != 1000 {
			t.Errorf("%d values to %d µs, from %d to %d", h.TotalCount(), h.Max(), h.StartTimeMs(), h.EndTimeMs())
		}
	}
	if got := strings.Join(tags, " "); got != strings.TrimSpace(strings.Repeat("https-keep-alive-h2 tcp-new ", 3)) {
		t.Errorf("tags %s", got)
	}
}

func TestJUnit(t *testing.T) {
	junit := func(r Report, failed ...string) string {
		text := written(t, func(b *strings.Builder) error { return WriteJUnit(b, r, failed) })
		if err := xml.Unmarshal([]byte(text), new(junitSuites)); err != nil {
			t.Error(err)
		}
		return text
	}
	r := outputReport()
	golden(t, "run.junit.xml", junit(r, "tcp new: lost is 3 (fails on lost>0)", "the run: odd"))

	var suites junitSuites
	counts := func(r Report) [3]int {
		suites = junitSuites{}
		if err := xml.Unmarshal([]byte(junit(r)), &suites); err != nil {
			t.Fatal(err)
		}
		s := suites.Suites[0]
		return [3]int{s.Tests, s.Failures, s.Errors}
	}
	if got := counts(r); got != [3]int{6, 3, 0} {
		t.Errorf("%v tests, failures and errors: want a lane, and two upgrades, to fail", got)
	}
	allowed := r
	allowed.Verdict.MaxLost = 3
	if got := counts(allowed); got != [3]int{6, 1, 0} {
		t.Errorf("%v tests, failures and errors: want the failed upgrade to fail, and no loss", got)
	}
	void := Report{Verdict: Verdict{Void: true, Line: "VOID"}}
	if got := counts(void); got != [3]int{1, 0, 1} {
		t.Errorf("%v tests, failures and errors of a void run", got)
	}
	void = Report{Interrupted: true}
	if got := counts(void); got != [3]int{1, 0, 1} {
		t.Errorf("%v tests, failures and errors of an interrupted run", got)
	}
	if got := counts(Report{}); got != [3]int{1, 1, 0} {
		t.Errorf("%v tests, failures and errors of a run without requests", got)
	}
}

func TestBenchmarks(t *testing.T) {
	golden(t, "run.bench.txt", written(t, func(b *strings.Builder) error { return WriteBenchmarks(b, outputReport()) }))
}
