package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
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
	files  map[string]reportFile // by flag
}

// reportFile keeps what it holds until there is a report to put in its place.
type reportFile interface {
	io.Writer
	begin() error // before the first Write
	Close() error
}

// open opens the files before the run, since it would be a pity to find out after it that they cannot be written.
func (f *outputFlags) open(s streams) (*output, error) {
	o := &output{flags: f, people: s.out, files: make(map[string]reportFile)}
	for flag, path := range map[string]string{
		"json": f.JSON, "html": f.HTML, "hdr-log": f.HDRLog, "junit": f.JUnit, "benchmarks": f.Benchmarks,
	} {
		switch {
		case path == "":
		case path == "-" && flag == "json":
			o.people = s.err
			o.files[flag] = stream{s.out}
		default:
			file, err := openNamed(path)
			if err != nil {
				return nil, errors.Join(fmt.Errorf("--%s: %w", flag, err), o.close())
			}
			o.files[flag] = file
		}
	}
	return o, nil
}

// stream outlives the command.
type stream struct{ io.Writer }

func (stream) begin() error { return nil }
func (stream) Close() error { return nil }

// named is a file that goes away again if it was made for a report that then did not come.
type named struct {
	*os.File
	forNothing bool
}

func openNamed(path string) (*named, error) {
	_, err := os.Stat(path)
	made := errors.Is(err, fs.ErrNotExist)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	return &named{f, made}, nil
}

func (n *named) begin() error {
	n.forNothing = false
	if info, err := n.Stat(); err != nil || !info.Mode().IsRegular() { // a pipe, or /dev/stderr
		return err
	}
	return n.Truncate(0)
}

func (n *named) Close() error {
	err := n.File.Close()
	if n.forNothing {
		err = errors.Join(err, os.Remove(n.Name()))
	}
	return err
}

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
			if err := errors.Join(f.begin(), write(f)); err != nil {
				return fmt.Errorf("--%s: %w", flag, err)
			}
		}
	}
	fmt.Fprintln(o.people)
	if err := bench.WriteTable(o.people, r); err != nil {
		return err
	}
	if len(r.Upgrades) > 0 {
		fmt.Fprintln(o.people)
		if err := bench.WriteEvents(o.people, r); err != nil {
			return err
		}
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
