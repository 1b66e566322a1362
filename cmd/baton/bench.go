package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/seed-e3b9a99f/baton/bench"
)

// benchCmds are the bench and what to do with its reports.
type benchCmds struct {
	Run     benchCmd        `cmd:"" default:"withargs" help:"Drive a server while it is upgraded again and again (what baton bench does)."`
	Compare benchCompareCmd `cmd:"" help:"Compare two reports."`
	Merge   benchMergeCmd   `cmd:"" help:"Join the reports of several machines that ran at one time."`
}

// Help is shown by baton bench --help.
func (benchCmds) Help() string {
	return `Without a command it is run: baton bench --http 127.0.0.1:8080 --pid-file app.pid, say, and with no flags at all it
drives its own demo.

baton bench run --help has all the flags, and what the exit status means. baton bench --list-lanes has the kinds of
client.`
}

// benchCmd drives a server with clients while it is upgraded. Without a target it starts the demo and drives that.
type benchCmd struct {
	HTTP  string `name:"http" placeholder:"URL" group:"What to drive" help:"Drive HTTP at host:port or a URL."`
	HTTPS string `name:"https" placeholder:"URL" group:"What to drive" help:"Drive HTTPS at host:port or a URL."`
	TCP   string `name:"tcp" placeholder:"ADDR" group:"What to drive" help:"Drive a TCP echo at host:port."`

	Lanes     []string `placeholder:"LANE" group:"What to drive" help:"The kinds of client; all for every one that the server can serve. See --list-lanes for their names and for the default."`
	ListLanes bool     `group:"What to drive" help:"List the kinds of client, and end."`

	Requests         requestFlags `embed:"" group:"What to ask"`
	Verify           bool         `group:"What to ask" help:"Verify the server's certificate. Without it any certificate will do."`
	GenerationHeader string       `default:"Baton-Generation" placeholder:"NAME" group:"What to ask" help:"Response header that changes with the generation (${default}). Where there is none, the pidfile tells."`

	PidFile        string        `placeholder:"FILE" group:"Upgrades" help:"The server's pidfile: upgrade by a signal to the process that it names, and watch its processes."`
	Signal         string        `placeholder:"SIG" group:"Upgrades" help:"The signal: a name or a number (HUP)."`
	UpgradeCmd     string        `placeholder:"CMD" group:"Upgrades" help:"Upgrade by this command, run by sh -c, instead of a signal."`
	Upgrades       int           `default:"10" placeholder:"N" group:"Upgrades" help:"How many times (${default}); 0 only drives the server."`
	Interval       time.Duration `default:"2s" placeholder:"D" group:"Upgrades" help:"From one upgrade to the next (${default})."`
	UpgradeTimeout time.Duration `default:"30s" placeholder:"D" group:"Upgrades" help:"When an upgrade has failed (${default})."`
	Events         eventFlags    `embed:"" group:"Upgrades"`

	Duration time.Duration `placeholder:"D" group:"Load" help:"How long to drive the server when there are no upgrades (20s)."`
	Rate     float64       `default:"400" placeholder:"N" group:"Load" help:"Operations a second in each lane (${default})."`
	Conns    int           `default:"50" placeholder:"N" group:"Load" help:"Connections in each lane that keeps them (${default})."`
	Timeout  time.Duration `default:"5s" placeholder:"D" group:"Load" help:"When an operation is lost (${default})."`
	StartAt  string        `placeholder:"TIME" group:"Load" help:"Begin at this time (RFC 3339). Runs that are to be merged begin at the same one."`
	StartIn  time.Duration `placeholder:"D" group:"Load" help:"Begin so long from now, to have something else ready by then. Runs that are to be merged need --start-at."`

	Output  outputFlags `embed:"" group:"Results"`
	MaxLost int64       `placeholder:"N" group:"Results" help:"Exit with status 0 up to this many lost requests (0)."`
	DemoLog string      `placeholder:"FILE" group:"Results" help:"Keep the log of the demo that is driven when no target is given."`

	Comparison againstFlags `embed:"" group:"Comparison"`

	plan bench.Plan
	at   bench.Targets
}

// Help is shown by --help.
func (benchCmd) Help() string {
	return `Without --http, --https or --tcp it starts baton demo on free loopback ports, drives that, and stops it.

The clients never retry. Exit status:

0: nothing was lost, or no more than --max-lost.

1: something was, or an upgrade failed, or a condition of --fail-on holds, or the run is void since the client could not
keep its schedule, or it was interrupted.

2: nothing was measured: the command line is wrong, the server cannot be reached, or a file cannot be written.`
}

// drainTimeout is how long the demo's old generations may hold connections. It is short of three intervals, so that
// the run would see one that had not moved.
const drainTimeout = 5 * time.Second

// Validate is called by kong, which puts the error on one line.
func (b *benchCmd) Validate() error {
	if err := b.Events.parse(); err != nil {
		return err
	}
	upgrades := b.Upgrades > 0 && b.Events.has(bench.KindUpgrade)
	for _, rule := range []struct {
		broken bool
		say    string
	}{
		{b.Rate <= 0 || b.Rate > 1e6, "--rate: give a number of operations a second from above 0 to 1000000"},
		{b.Conns < 1, "--conns: give at least 1"},
		{b.Upgrades < 0, "--upgrades: give 0 or more"},
		{b.MaxLost < 0, "--max-lost: give 0 or more"},
		{b.Interval <= 0, "--interval: give a duration above zero, such as 2s"},
		{b.Timeout <= 0, "--timeout: give a duration above zero, such as 5s"},
		{b.UpgradeTimeout <= 0, "--upgrade-timeout: give a duration above zero, such as 30s"},
		{b.Duration < 0, "--duration: give a duration above zero, such as 20s"},
		{b.Duration > 0 && b.Upgrades > 0, "--duration: with upgrades their --interval says how long; add --upgrades 0"},
		{b.Verify && b.HTTPS == "", "--verify: say whose certificate, by --https"},
		{b.Comparison.Against != nil && (!b.demo() || b.PidFile+b.UpgradeCmd+b.Signal+b.DemoLog != "" || b.Events.any()),
			"--against: it starts and upgrades its servers itself; leave out the targets and how to upgrade them"},
		{b.StartAt != "" && b.StartIn != 0, "--start-at, --start-in: give one of them"},
		{b.demo() && b.PidFile+b.UpgradeCmd+b.Signal != "",
			"--pid-file, --signal, --upgrade-cmd: say which server, by --http, --https or --tcp"},
		{!b.demo() && b.DemoLog != "", "--demo-log: there is no demo when a target is given"},
		{b.DemoLog == "-", "--demo-log: give a file; the demo writes to it by itself"},
		{!b.demo() && upgrades && b.PidFile+b.UpgradeCmd == "",
			"say how to upgrade the server, by --pid-file or --upgrade-cmd, or give --upgrades 0"},
		{b.Signal != "" && b.UpgradeCmd != "", "--signal, --upgrade-cmd: give one of them"},
		{b.Signal != "" && b.PidFile == "" && !b.demo(), "--signal: say to which process, by --pid-file"},
		{b.Signal+b.UpgradeCmd != "" && b.Upgrades > 0 && !upgrades,
			"--signal, --upgrade-cmd: there is no upgrade among --events; add it"},
	} {
		if rule.broken {
			return errors.New(rule.say)
		}
	}
	for _, part := range []interface{ validate(*benchCmd) error }{&b.Requests, &b.Events, &b.Output, &b.Comparison} {
		if err := part.validate(b); err != nil {
			return err
		}
	}
	if err := apart(append(b.Output.destinations(),
		destination{"markdown", b.Comparison.Markdown}, destination{"demo-log", b.DemoLog})...); err != nil {
		return err
	}
	startAt, err := bench.StartTime(b.StartAt, b.StartIn, time.Now())
	if err != nil {
		return err
	}
	b.plan = bench.Plan{
		StartAt: startAt,
		Rate:    b.Rate, Conns: b.Conns, Timeout: b.Timeout, MaxLost: b.MaxLost,
		Duration: b.Duration,
	}
	if b.Duration == 0 {
		b.plan.Duration = 20 * time.Second
	}
	if b.ListLanes || b.Comparison.Against != nil {
		return nil
	}
	if b.demo() {
		trial := *b // to find mistakes in what to drive before the demo is started
		trial.Upgrades = 0
		return trial.aim(targets{"127.0.0.1:1", "127.0.0.1:1", "127.0.0.1:1", ""}, true)
	}
	return b.aim(targets{b.HTTP, b.HTTPS, b.TCP, b.PidFile}, false)
}

// demo reports whether there is no server to drive but the demo.
func (b *benchCmd) demo() bool { return b.HTTP+b.HTTPS+b.TCP == "" }

// targets are the addresses to drive, "" for none.
type targets struct{ http, https, tcp, pidFile string }

// aim fills the plan in with lanes and upgrades. sameBody: GET gets the same answer from every generation.
func (b *benchCmd) aim(at targets, sameBody bool) error {
	for _, t := range []struct {
		scheme, where string
		target        **bench.HTTP
	}{{"http", at.http, &b.at.HTTP}, {"https", at.https, &b.at.HTTPS}} {
		if t.where == "" {
			continue
		}
		target, err := bench.ParseHTTP(t.scheme, t.where)
		if err != nil {
			return fmt.Errorf("--%s: %w", t.scheme, err)
		}
		if err := b.Requests.apply(&target); err != nil {
			return err
		}
		if target.TLS != nil {
			target.TLS.InsecureSkipVerify = !b.Verify
		}
		target.GenerationHeader = http.CanonicalHeaderKey(b.GenerationHeader)
		target.SameBody = sameBody
		if b.demo() {
			target.WebSocketPath = "/ws"
		}
		*t.target = &target
	}
	if at.tcp != "" {
		addr, err := bench.ParseAddr(at.tcp)
		if err != nil {
			return fmt.Errorf("--tcp: %w", err)
		}
		b.at.TCP = addr
	}
	lanes, err := chosenLanes(b.Lanes, b.at)
	if err != nil {
		return fmt.Errorf("--lanes: %w", err)
	}
	b.plan.Lanes = lanes
	if b.Upgrades == 0 {
		return nil
	}
	b.plan.Upgrades = &bench.Upgrades{
		Count: b.Upgrades, Interval: b.Interval, Timeout: b.UpgradeTimeout, PIDFile: at.pidFile,
	}
	if b.Events.has(bench.KindUpgrade) {
		if b.plan.Upgrades.Trigger, err = b.trigger(at.pidFile); err != nil {
			return err
		}
	}
	return b.Events.apply(b.plan.Upgrades, b.at)
}

// trigger is how the server is upgraded.
func (b *benchCmd) trigger(pidFile string) (bench.Trigger, error) {
	if b.UpgradeCmd != "" {
		return bench.ShellCommand(b.UpgradeCmd), nil
	}
	sig, err := bench.ParseSignal(cmp.Or(b.Signal, "HUP"))
	if err != nil {
		return nil, fmt.Errorf("--signal: %w", err)
	}
	return bench.SignalPIDFile(pidFile, sig), nil
}

func (b *benchCmd) Run(ctx context.Context, s streams) (err error) {
	if b.ListLanes {
		return listLanes(s.out)
	}
	ctx, done := signal.NotifyContext(ctx, endings()...)
	defer done()
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	defer outlivePipes()()
	bench.RaiseFileLimit()

	out, err := openOutput(s, append(b.Output.destinations(), destination{"markdown", b.Comparison.Markdown}))
	if err != nil {
		return unmeasured(err)
	}
	defer func() { err = out.end(err) }()
	out.people = audience{out.people, giveUp}
	if b.Comparison.Against != nil {
		return unmeasured(b.against(ctx, out))
	}
	var got bench.Report
	if b.demo() {
		got, err = b.driveDemo(ctx, s.err, out.people)
	} else {
		got, err = b.drive(ctx, out.people)
	}
	if err != nil {
		return unmeasured(err)
	}
	return out.write(&b.Output, got)
}

// endings are the signals that end a run early, with what was counted so far, and the demo stopped.
func endings() []os.Signal {
	list := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup
		list = append(list, syscall.SIGHUP)
	}
	return list
}

// driveDemo starts the demo, drives it, and stops it.
func (b *benchCmd) driveDemo(ctx context.Context, complaints, people io.Writer) (got bench.Report, err error) {
	self, err := os.Executable()
	if err != nil {
		return got, err
	}
	demo, err := bench.StartDemo(ctx, bench.DemoOptions{Path: self, DrainTimeout: drainTimeout, LogFile: b.DemoLog})
	if err != nil {
		return got, err
	}
	defer func() {
		lines := demo.LastWords(20)
		err = errors.Join(err, demo.Stop())
		if v := got.Verdict; err != nil || v.Lost > v.MaxLost || v.FailedUpgrade > 0 {
			fmt.Fprintf(complaints, "\nthe demo's last words:\n  %s\n", strings.Join(lines, "\n  "))
		}
	}()
	if err := b.aim(targets{demo.HTTP, demo.HTTPS, demo.TCP, demo.PIDFile}, true); err != nil {
		return got, err
	}
	return b.drive(ctx, people)
}

func (b *benchCmd) drive(ctx context.Context, people io.Writer) (bench.Report, error) {
	if wantsAll(b.Lanes) {
		lanes, err := possibleLanes(ctx, b.plan.Lanes, people)
		if err != nil {
			return bench.Report{}, err
		}
		b.plan.Lanes = lanes
	}
	fmt.Fprintln(people, b.plan.Header())
	if !b.Verify && overTLS(b.plan.Lanes) {
		fmt.Fprintln(people, "certificates are not verified")
	}
	live := bench.NewLive(people)
	defer live.Close()
	b.plan.Progress, b.plan.Upgraded = live.Progress, live.Upgraded
	b.plan.Noted = func(note string) { fmt.Fprintln(people, "note:", note) }
	return bench.Run(ctx, b.plan)
}
