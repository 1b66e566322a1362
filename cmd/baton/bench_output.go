package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/seed-e3b9a99f/baton/bench"
	"github.com/seed-e3b9a99f/baton/bench/page"
)

// outputFlags say what becomes of the report.
type outputFlags struct {
	JSON       string `name:"json" placeholder:"FILE" help:"Write the report as JSON; - for standard output, and all else to standard error."`
	HTML       string `name:"html" placeholder:"FILE" help:"Write a page that shows it, and needs nothing beside it."`
	HDRLog     string `name:"hdr-log" placeholder:"FILE" help:"Write the latencies in HdrHistogram's log format."`
	JUnit      string `name:"junit" placeholder:"FILE" help:"Write JUnit XML, for CI."`
	Benchmarks string `placeholder:"FILE" help:"Write Go benchmark lines, for benchstat."`
	FailOn     string `placeholder:"CONDITION,..." help:"Exit with status 1 where one holds, such as 'lost>0, p99.9>50ms, stall>1s'."`

	conditions bench.Conditions
}

func (f *outputFlags) validate(*benchCmd) error {
	if f.FailOn == "" {
		return nil
	}
	var err error
	if f.conditions, err = bench.ParseConditions(f.FailOn); err != nil {
		return fmt.Errorf("--fail-on: %w", err)
	}
	return nil
}

// output is where a report goes.
type output struct {
	flags  *outputFlags
	people io.Writer
	files  map[string]io.WriteCloser // by flag
}

// open makes the files before the run, since it would be a pity to find out after it that they cannot be made.
func (f *outputFlags) open(s streams) (*output, error) {
	o := &output{flags: f, people: s.out, files: make(map[string]io.WriteCloser)}
	for flag, path := range map[string]string{
		"json": f.JSON, "html": f.HTML, "hdr-log": f.HDRLog, "junit": f.JUnit, "benchmarks": f.Benchmarks,
	} {
		switch {
		case path == "":
		case path == "-" && flag == "json":
			o.people = s.err
			o.files[flag] = unclosed{s.out}
		default:
			file, err := os.Create(path)
			if err != nil {
				return nil, errors.Join(fmt.Errorf("--%s: %w", flag, err), o.close())
			}
			o.files[flag] = file
		}
	}
	return o, nil
}

// unclosed is a stream that outlives the command.
type unclosed struct{ io.Writer }

func (unclosed) Close() error { return nil }

func (o *output) close() (err error) {
	for _, f := range o.files {
		err = errors.Join(err, f.Close())
	}
	return err
}

// write writes the report in every form that was asked for, and says how it went by its error.
func (o *output) write(r bench.Report) error {
	met := o.flags.conditions.Met(r)
	for flag, write := range map[string]func(io.Writer) error{
		"json":       r.WriteJSON,
		"html":       func(w io.Writer) error { return page.Write(w, r) },
		"hdr-log":    func(w io.Writer) error { return bench.WriteHDRLog(w, r) },
		"junit":      func(w io.Writer) error { return bench.WriteJUnit(w, r, met) },
		"benchmarks": func(w io.Writer) error { return bench.WriteBenchmarks(w, r) },
	} {
		if f := o.files[flag]; f != nil {
			if err := write(f); err != nil {
				return fmt.Errorf("--%s: %w", flag, err)
			}
		}
	}
	fmt.Fprintln(o.people)
	if err := bench.WriteTable(o.people, r); err != nil {
		return err
	}
	fmt.Fprintf(o.people, "\n%s\n", r.Verdict.Line)
	for _, line := range met {
		fmt.Fprintf(o.people, "--fail-on: %s\n", line)
	}
	if !r.Verdict.Pass || len(met) > 0 {
		return silentError{1}
	}
	return nil
}
