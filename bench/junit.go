package bench

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/seed-e3b9a99f/baton/bench/internal/figures"
)

type junitSuites struct {
	XMLName xml.Name     `xml:"testsuites"`
	Suites  []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name      string      `xml:"name,attr"`
	Tests     int         `xml:"tests,attr"`
	Failures  int         `xml:"failures,attr"`
	Errors    int         `xml:"errors,attr"`
	Time      string      `xml:"time,attr"`
	Timestamp string      `xml:"timestamp,attr"`
	Cases     []junitCase `xml:"testcase"`
	Output    string      `xml:"system-out"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Time    string        `xml:"time,attr"`
	Failure *junitTrouble `xml:"failure"`
	Error   *junitTrouble `xml:"error"`
	Output  string        `xml:"system-out,omitempty"`
}

type junitTrouble struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

// WriteJUnit writes the report as JUnit XML, as CI systems show it: a test case for the run, for each lane, and for
// each upgrade or other event. The run's is an error if the run is void or was interrupted, and fails for each of the given lines,
// which are what Conditions.Met returns. A lane's fails if requests were lost that the verdict counts; an event's if it
// failed, or if requests were lost from its trigger until the next. An event's time is Upgrade.InEffect.
func WriteJUnit(w io.Writer, r Report, failed []string) error {
	seconds := fmt.Sprintf("%.3f", r.Duration)
	suite := junitSuite{
		Name: "baton bench", Time: seconds, Timestamp: r.Started.UTC().Format("2006-01-02T15:04:05"), Output: r.Verdict.Line,
	}
	suite.add(r.runCase(seconds, failed))
	for _, l := range r.Lanes {
		suite.add(r.laneCase(l, seconds))
	}
	for _, u := range r.Upgrades {
		suite.add(r.eventCase(u))
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(junitSuites{Suites: []junitSuite{suite}}); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (s *junitSuite) add(c junitCase) {
	s.Tests++
	if c.Failure != nil {
		s.Failures++
	}
	if c.Error != nil {
		s.Errors++
	}
	s.Cases = append(s.Cases, c)
}

func (r Report) runCase(time string, failed []string) junitCase {
	c := junitCase{Class: "baton bench", Name: "run", Time: time}
	switch {
	case r.Verdict.Void:
		c.Error = &junitTrouble{Message: "void", Type: "void", Text: r.Verdict.Line}
	case r.Interrupted:
		c.Error = &junitTrouble{Message: "interrupted", Type: "interrupted", Text: r.Verdict.Line}
	case len(failed) > 0:
		c.Failure = &junitTrouble{Message: failed[0], Type: "condition", Text: strings.Join(failed, "\n")}
	case r.Verdict.Requests == 0:
		c.Failure = &junitTrouble{Message: "no requests", Type: "empty", Text: r.Verdict.Line}
	}
	return c
}

// countsLosses reports whether the verdict fails for the losses that it counts.
func (r Report) countsLosses() bool { return r.Verdict.Lost > r.Verdict.MaxLost }

func (r Report) laneCase(l LaneReport, time string) junitCase {
	c := junitCase{Class: "baton bench.lane", Name: l.Name, Time: time}
	if lost := l.Lost - l.Allowed; lost > 0 && r.countsLosses() {
		var text strings.Builder
		for _, f := range l.Failures {
			if f.Class.Lost() {
				fmt.Fprintf(&text, "%s %s: %s\n", figures.Thousands(f.Count), f.Failure, f.Cause(f.Sample))
			}
		}
		c.Failure = &junitTrouble{
			Message: fmt.Sprintf("%s of %s requests lost", figures.Thousands(lost), figures.Thousands(l.Operations)), Type: "lost", Text: text.String(),
		}
	}
	return c
}

// Cause is what an error's text, as FailureCount.Sample or Loss.Sample, says besides the failure itself.
func (f Failure) Cause(sample string) string {
	return strings.TrimPrefix(sample, f.String()+": ")
}

// eventCase leaves losses to the lanes if some are allowed, since an event's count does not tell them apart.
func (r Report) eventCase(u Upgrade) junitCase {
	c := junitCase{
		Class: "baton bench.event", Name: fmt.Sprintf("%s %d", u.What(), u.Number), Time: fmt.Sprintf("%.3f", u.InEffect()/1000),
	}
	if u.Event != nil {
		c.Output = u.Event.String()
	}
	switch {
	case u.Error != "":
		c.Failure = &junitTrouble{Message: u.Error, Type: "event"}
	case u.Lost > 0 && r.countsLosses() && r.Verdict.Allowed == 0:
		c.Failure = &junitTrouble{
			Message: fmt.Sprintf("%s requests lost from its trigger until the next", figures.Thousands(u.Lost)), Type: "lost",
		}
	}
	return c
}
