package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/seed-e3b9a99f/baton/bench"
	"github.com/seed-e3b9a99f/baton/bench/page"
)

// outputFlags say what becomes of the report.
type outputFlags struct {
	JSON       string `name:"json" placeholder:"FILE" help:"Write the report as JSON. Here and below - is standard output, for one of them; all else then goes to standard error."`
	HTML       string `name:"html" placeholder:"FILE" help:"Write a page that shows it, and needs nothing beside it."`
	HDRLog     string `name:"hdr-log" placeholder:"FILE" help:"Write the latencies in HdrHistogram's log format."`
	JUnit      string `name:"junit" placeholder:"FILE" help:"Write JUnit XML, for CI."`
	Benchmarks string `placeholder:"FILE" help:"Write Go benchmark lines, for benchstat."`
	FailOn     string `placeholder:"CONDITION,..." help:"Exit with status 1 where one holds, such as 'lost>0, p99.9>50ms, stall>1s'. A quantile is of the whole run, upgrading.p99.9 of what touched an upgrade, steady.p99.9 of the rest. All else: ${quantities}."`

	jsonFlag   string // "json" if empty
	conditions bench.Conditions
}

// form is one that the report can have.
type form struct {
	destination
	write func(w io.Writer, r bench.Report, met []string) error
}

// destination is where a flag's file goes: "" for nowhere, "-" for standard output.
type destination struct{ flag, path string }

func (f *outputFlags) forms() []form {
	return []form{
		{destination{cmp.Or(f.jsonFlag, "json"), f.JSON}, func(w io.Writer, r bench.Report, _ []string) error { return r.WriteJSON(w) }},
		{destination{"html", f.HTML}, func(w io.Writer, r bench.Report, _ []string) error { return page.Write(w, r) }},
		{destination{"hdr-log", f.HDRLog}, func(w io.Writer, r bench.Report, _ []string) error { return bench.WriteHDRLog(w, r) }},
		{destination{"junit", f.JUnit}, bench.WriteJUnit},
		{destination{"benchmarks", f.Benchmarks}, func(w io.Writer, r bench.Report, _ []string) error { return bench.WriteBenchmarks(w, r) }},
	}
}

func (f *outputFlags) destinations() (all []destination) {
	for _, form := range f.forms() {
		all = append(all, form.destination)
	}
	return all
}

func (f *outputFlags) validate(b *benchCmd) (err error) {
	if f.FailOn == "" {
		return nil
	}
	if f.conditions, err = bench.ParseConditions(f.FailOn); err != nil {
		return fmt.Errorf("--fail-on: %w", err)
	}
	if of := f.conditions.OfUpgrades(); b != nil && b.Upgrades == 0 && of != nil {
		return fmt.Errorf("--fail-on: %s: there is nothing upgrading with --upgrades 0", strings.Join(of, ", "))
	}
	return nil
}

// apart refuses two flags that write to one place, where one would overwrite the other.
func apart(all ...destination) error {
	by := make(map[string]string)
	for _, d := range all {
		if d.path == "" || d.path == os.DevNull {
			continue
		}
		place, said := d.path, "standard output"
		if place != "-" {
			said = place
			place = resolved(place)
		}
		if other, taken := by[place]; taken {
			return fmt.Errorf("--%s, --%s: both write to %s; give each a file of its own", other, d.flag, said)
		}
		by[place] = d.flag
	}
	return nil
}

// resolved is one name for all those of a file, as far as they can be told.
func resolved(path string) string {
	if whole, err := filepath.Abs(path); err == nil {
		path = whole
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	return path
}

// output is where a report goes.
type output struct {
	people io.Writer
	files  map[string]reportFile // by flag
}

// reportFile keeps what it holds until there is a report to put in its place.
type reportFile interface {
	io.Writer
	begin() error // before the first Write
	Close() error
}

// openOutput opens the files before the run, since it would be a pity to find out after it that they cannot be written.
func openOutput(s streams, all []destination) (*output, error) {
	o := &output{people: s.out, files: make(map[string]reportFile)}
	for _, d := range all {
		switch d.path {
		case "":
		case "-":
			o.people = s.err
			o.files[d.flag] = stream{s.out}
		default:
			file, err := openNamed(d.path)
			if err != nil {
				return nil, errors.Join(fmt.Errorf("--%s: %w", d.flag, err), o.close())
			}
			o.files[d.flag] = file
		}
	}
	return o, nil
}

// stream outlives the command.
type stream struct{ io.Writer }

func (stream) begin() error { return nil }
func (stream) Close() error { return nil }

// audience ends a run when there is nobody left to tell of it, as with head(1).
type audience struct {
	io.Writer
	giveUp context.CancelCauseFunc
}

func (a audience) Write(p []byte) (int, error) {
	n, err := a.Writer.Write(p)
	if err != nil {
		a.giveUp(fmt.Errorf("nobody reads on: %w", err))
	}
	return n, err
}

// SyscallConn lets a terminal be known.
func (a audience) SyscallConn() (syscall.RawConn, error) {
	conn, ok := a.Writer.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return conn.SyscallConn()
}

// outlivePipes keeps SIGPIPE, which a write to a standard output that nobody reads brings, from ending this process at
// once and leaving the demo running, until end is called. A client's write to a connection that its server has closed
// brings it as well, so it says nothing about the output.
func outlivePipes() (end func()) {
	ignored := make(chan os.Signal, 1)
	signal.Notify(ignored, syscall.SIGPIPE) // children have the default again, which they would not if it were ignored
	return func() { signal.Stop(ignored) }
}

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

// end closes the files, and returns what a command ends with that would else end with err.
func (o *output) end(err error) error {
	closed := o.close()
	if closed == nil {
		return err
	}
	if _, told := errors.AsType[silentError](err); told {
		err = nil
	}
	return unmeasured(errors.Join(err, closed))
}

// put writes one of the files, if it was asked for.
func (o *output) put(flag string, write func(io.Writer) error) error {
	f := o.files[flag]
	if f == nil {
		return nil
	}
	if err := errors.Join(f.begin(), write(f)); err != nil {
		return fmt.Errorf("--%s: %w", flag, err)
	}
	return nil
}

// write writes the report in every form that was asked for, and says how it went by its error. What cannot be written
// does not keep the rest from being told.
func (o *output) write(flags *outputFlags, r bench.Report) error {
	met := flags.conditions.Met(r)
	var errs []error
	for _, form := range flags.forms() {
		errs = append(errs, o.put(form.flag, func(w io.Writer) error { return form.write(w, r, met) }))
	}
	if err := errors.Join(append(errs, o.tell(r, met))...); err != nil {
		return unmeasured(err)
	}
	if !r.Verdict.Pass || len(met) > 0 {
		return silentError{1}
	}
	return nil
}

// tell writes for people what the report has, and which conditions are met.
func (o *output) tell(r bench.Report, met []string) error {
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
	_, err := fmt.Fprintf(o.people, "\n%s\n", r.Verdict.Line)
	for _, line := range met {
		fmt.Fprintf(o.people, "--fail-on: %s\n", line)
	}
	return err
}

// unmeasured is the error of a bench that has no result to show, other than a bad one: its exit status is 2.
func unmeasured(err error) error {
	if err == nil {
		return nil
	}
	return statusError{err, 2}
}
