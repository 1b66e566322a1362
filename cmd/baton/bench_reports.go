package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/seed-e3b9a99f/baton/bench"
)

// benchCompareCmd sets two reports side by side.
type benchCompareCmd struct {
	A    string `arg:"" help:"A report of baton bench --json."`
	B    string `arg:"" help:"Another one."`
	JSON bool   `name:"json" help:"Print JSON."`
}

func (c *benchCompareCmd) Run(s streams) error {
	a, errA := readReport(c.A)
	b, errB := readReport(c.B)
	if err := errors.Join(errA, errB); err != nil {
		return unmeasured(err)
	}
	compared := bench.Compare(a, b)
	compared.A.Name, compared.B.Name = c.A, c.B
	if c.JSON {
		e := json.NewEncoder(s.out)
		e.SetIndent("", "  ")
		return e.Encode(compared)
	}
	return compared.WriteText(s.out)
}

// benchMergeCmd joins reports.
type benchMergeCmd struct {
	Files  []string    `arg:"" help:"Reports of baton bench --json, of runs that began at one time (--start-at)."`
	Output string      `short:"o" placeholder:"FILE" help:"Write the joined report as JSON. Here and below - is standard output."`
	HTML   string      `name:"html" placeholder:"FILE" help:"Write a page that shows it."`
	FailOn string      `placeholder:"CONDITION,..." help:"Exit with status 1 where one holds, as in baton bench run."`
	out    outputFlags `kong:"-"`
}

// Validate is called by kong.
func (c *benchMergeCmd) Validate() error {
	c.out = outputFlags{JSON: c.Output, HTML: c.HTML, FailOn: c.FailOn, jsonFlag: "output"}
	if err := apart(c.out.destinations()...); err != nil {
		return err
	}
	return c.out.validate(nil)
}

func (c *benchMergeCmd) Run(s streams) (err error) {
	var reports []bench.Report
	var errs []error
	for _, file := range c.Files {
		r, err := readReport(file)
		reports, errs = append(reports, r), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return unmeasured(err)
	}
	merged, err := bench.Merge(reports...)
	if err != nil {
		return unmeasured(err)
	}
	if of := c.out.conditions.OfUpgrades(); of != nil && len(merged.Upgrades) == 0 {
		return unmeasured(fmt.Errorf("--fail-on: %s: there was no upgrade in these runs", strings.Join(of, ", ")))
	}
	out, err := openOutput(s, c.out.destinations())
	if err != nil {
		return unmeasured(err)
	}
	defer func() { err = out.end(err) }()
	return out.write(&c.out, merged)
}

func readReport(path string) (r bench.Report, err error) {
	f, err := os.Open(path)
	if err != nil {
		return r, err
	}
	defer f.Close()
	if err := json.NewDecoder(io.LimitReader(f, 1<<30)).Decode(&r); err != nil {
		return r, fmt.Errorf("%s: %w: is it a report of baton bench --json?", path, err)
	}
	if r.Version != bench.SchemaVersion {
		return r, fmt.Errorf("%s: it has version %d of the report, and this baton reads version %d", path, r.Version, bench.SchemaVersion)
	}
	return r, nil
}
