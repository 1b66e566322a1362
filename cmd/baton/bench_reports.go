package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

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
		return err
	}
	compared := bench.Compare(a, b)
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
	Output string      `short:"o" placeholder:"FILE" help:"Write the joined report as JSON."`
	HTML   string      `name:"html" placeholder:"FILE" help:"Write a page that shows it."`
	FailOn string      `placeholder:"CONDITION,..." help:"Exit with status 1 where one holds."`
	out    outputFlags `kong:"-"`
}

// Validate is called by kong.
func (c *benchMergeCmd) Validate() error {
	c.out = outputFlags{JSON: c.Output, HTML: c.HTML, FailOn: c.FailOn}
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
		return err
	}
	merged, err := bench.Merge(reports...)
	if err != nil {
		return err
	}
	out, err := c.out.open(s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.close()) }()
	return out.write(merged)
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
