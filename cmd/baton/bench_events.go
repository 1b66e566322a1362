package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed-e3b9a99f/baton/bench"
)

// eventFlags say what else happens to the server.
type eventFlags struct {
	Jitter        time.Duration `placeholder:"D" help:"Make each interval longer or shorter by up to so much."`
	Events        string        `placeholder:"KIND,..." help:"What takes turns: upgrade, rotate (the certificate), reload (the configuration)."`
	RollingBinary []string      `placeholder:"FILE" help:"Binaries to install in turn before each upgrade, in place of --server-binary."`
	ServerBinary  string        `placeholder:"FILE" help:"The file that the server runs when it upgrades."`
	Inject        string        `placeholder:"FAULT,..." help:"Bad binaries to mix in, in place of --server-binary: exit, hang, crash. The server is to survive them."`
	InjectEvery   int           `placeholder:"N" help:"Of so many upgrades the last one is bad (2)."`
	Hang          time.Duration `placeholder:"D" help:"How long the one that hangs does (5s)."`
	RotateCert    string        `placeholder:"FILE" help:"The server's certificate, to be replaced by rotate. It is put back at the end."`
	RotateKey     string        `placeholder:"FILE" help:"The server's key."`
	RotateCACert  string        `name:"rotate-ca-cert" placeholder:"FILE" help:"CA that signs the new certificates; self-signed without."`
	RotateCAKey   string        `name:"rotate-ca-key" placeholder:"FILE" help:"Its key."`
	RotateCmd     string        `placeholder:"CMD" help:"Command that tells the server of a new certificate, where it does not look itself."`
	ReloadSignal  string        `placeholder:"SIG" help:"Signal that makes the server read its configuration anew, to the process in --pid-file: a name or a number."`
	ReloadCmd     string        `placeholder:"CMD" help:"Command that does, instead of a signal."`

	kinds []bench.Kind
}

// parse reads what the other flags are looked at by.
func (f *eventFlags) parse() (err error) {
	f.kinds = []bench.Kind{bench.KindUpgrade}
	if f.Events == "" {
		return nil
	}
	if f.kinds, err = bench.ParseKinds(f.Events); err != nil {
		return fmt.Errorf("--events: %w", err)
	}
	return nil
}

func (f *eventFlags) has(k bench.Kind) bool { return slices.Contains(f.kinds, k) }

func (f *eventFlags) any() bool {
	return f.Events+f.ServerBinary+f.Inject+f.RotateCert+f.RotateKey+f.RotateCACert+f.RotateCAKey+f.RotateCmd+f.ReloadSignal+f.ReloadCmd != "" ||
		f.RollingBinary != nil || f.Jitter+f.Hang != 0 || f.InjectEvery != 0
}

func (f *eventFlags) validate(b *benchCmd) error {
	for _, rule := range []struct {
		broken bool
		say    string
	}{
		{f.any() && b.Upgrades == 0, "--events, --inject and the like: there are none with --upgrades 0"},
		{f.any() && f.Jitter == 0 && b.demo(), "--events, --inject and the like: say of which server, by --http, --https or --tcp"},
		{f.Jitter < 0 || f.Jitter >= b.Interval && f.Jitter > 0, "--jitter: give a duration below --interval"},
		{(f.RollingBinary != nil || f.Inject != "") && f.ServerBinary == "", "--rolling-binary, --inject: say which file the server runs, by --server-binary"},
		{f.RollingBinary == nil && f.Inject == "" && f.ServerBinary != "", "--server-binary: say what to put in its place, by --rolling-binary or --inject"},
		{(f.RotateCert == "") != (f.RotateKey == ""), "--rotate-cert and --rotate-key: give both, or none of them"},
		{(f.RotateCACert == "") != (f.RotateCAKey == ""), "--rotate-ca-cert and --rotate-ca-key: give both, or none of them"},
		{f.RotateCert != "" && b.HTTPS == "", "--rotate-cert: say where it is served, by --https"},
		{f.ReloadSignal != "" && f.ReloadCmd != "", "--reload-signal, --reload-cmd: give one of them"},
		{f.ReloadSignal != "" && b.PidFile == "", "--reload-signal: say to which process, by --pid-file"},
		{f.ReloadSignal+f.ReloadCmd != "" && !f.has(bench.KindReload), "--reload-signal, --reload-cmd: there is no reload among --events; add it"},
		{f.has(bench.KindReload) && f.ReloadSignal+f.ReloadCmd == "", "--events: say how the server reloads, by --reload-signal or --reload-cmd"},
		{f.RotateCert+f.RotateCmd != "" && !f.has(bench.KindRotate), "--rotate-cert, --rotate-cmd: there is no rotate among --events; add it"},
		{f.has(bench.KindRotate) && f.RotateCert == "", "--events: say which certificate to rotate, by --rotate-cert and --rotate-key"},
		{f.ServerBinary != "" && !f.has(bench.KindUpgrade), "--rolling-binary, --inject: there is no upgrade among --events; add it"},
		{f.InjectEvery < 0 || f.Hang < 0, "--inject-every, --hang: give more than zero"},
	} {
		if rule.broken {
			return errors.New(rule.say)
		}
	}
	return nil
}

// apply adds the events to the upgrades.
func (f *eventFlags) apply(u *bench.Upgrades, at bench.Targets) error {
	u.Jitter, u.Kinds = f.Jitter, f.kinds
	if f.RollingBinary != nil {
		u.Rolling = &bench.Rolling{Path: f.ServerBinary, Binaries: f.RollingBinary}
	}
	if f.Inject != "" {
		faults, err := bench.ParseFaults(f.Inject)
		if err != nil {
			return fmt.Errorf("--inject: %w", err)
		}
		u.Inject = &bench.Injection{Path: f.ServerBinary, Faults: faults, Every: f.InjectEvery, Hang: f.Hang}
	}
	switch {
	case f.ReloadCmd != "":
		u.Reload = bench.ShellCommand(f.ReloadCmd)
	case f.ReloadSignal != "":
		sig, err := bench.ParseSignal(f.ReloadSignal)
		if err != nil {
			return fmt.Errorf("--reload-signal: %w", err)
		}
		u.Reload = bench.SignalPIDFile(u.PIDFile, sig)
	}
	if f.RotateCert != "" {
		u.Rotation = &bench.Rotation{
			Cert: f.RotateCert, Key: f.RotateKey, Addr: at.HTTPS.Addr, ServerName: at.HTTPS.TLS.ServerName,
			CACert: f.RotateCACert, CAKey: f.RotateCAKey,
		}
		if f.RotateCmd != "" {
			u.Rotation.Trigger = bench.ShellCommand(f.RotateCmd)
		}
	}
	return nil
}

// benchFaultCmd is the bad binary of --inject.
type benchFaultCmd struct {
	Args []string `arg:"" optional:""`
}

func (c *benchFaultCmd) Run() error { return bench.Misbehave(c.Args) }
