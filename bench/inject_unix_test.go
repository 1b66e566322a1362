//go:build unix

package bench

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func init() { helpers["fault"] = func() error { return Misbehave(os.Args[1:]) } }

// misbehaving is the command that runs Misbehave in the test binary.
func misbehaving() []string { return []string{"/usr/bin/env", helperEnv + "=fault", os.Args[0]} }

// drives is a driver of a service, with the pidfile as the only sign.
func drives(s *service, u Upgrades) *driver {
	u.Trigger, u.PIDFile = s.trigger(), s.pidFile
	d, _ := rehearsal(u)
	d.Settle = 20 * time.Millisecond
	return d
}

// Each kind of bad binary is tried by the server, which serves on. Between them, upgrades to the good one succeed.
func TestInjectedFaults(t *testing.T) {
	const hang = 200 * time.Millisecond
	s := startService(t, "")
	d := drives(s, Upgrades{Count: 6, Inject: &Injection{
		Path: s.path, Faults: []Fault{FaultExit, FaultHang, FaultCrash}, Hang: hang, Program: misbehaving(),
	}})
	if err := d.Upgrades.validate(); err != nil {
		t.Fatal(err)
	}
	d.run(t.Context())
	if len(d.finished) != 6 {
		t.Fatalf("%d events", len(d.finished))
	}
	faults := []Fault{"", FaultExit, "", FaultHang, "", FaultCrash}
	for i, u := range d.finished {
		e := d.events()[i]
		if u.Error != "" || e.Fault != faults[i] || (u.ToPID != 0) == (e.Fault != "") || (u.Serving > 0) == (e.Fault != "") {
			t.Errorf("event %v beside %+v", e, u)
		}
		if e.Fault != "" && (e.FaultStarted <= 0 || e.FaultEnded < e.FaultStarted || u.Triggered == 0) {
			t.Errorf("event %+v", e)
		}
	}
	if hung, crash := d.events()[3], d.events()[5]; hung.FaultEnded < ms(hang) || crash.FaultEnded < ms(crashAfter) {
		t.Errorf("the hang was over after %g ms, and the crash after %g", hung.FaultEnded, crash.FaultEnded)
	}
	if got := firstLine(t, s.path); got != "first" {
		t.Errorf("the server's path runs %q", got)
	}
	if left, _ := filepath.Glob(s.dir + "/*bench*"); left != nil {
		t.Errorf("left: %q", left)
	}
}

// What the service does wrong about a bad binary is an error that says so.
func TestInjectedFaultsThatDoHarm(t *testing.T) {
	for mode, want := range map[string]string{
		"fragile":  "is gone, and",
		"believer": "names pid",
		"deaf":     "did not start",
	} {
		t.Run(mode, func(t *testing.T) {
			s := startService(t, mode)
			d := drives(s, Upgrades{Count: 1, Timeout: 700 * time.Millisecond, Inject: &Injection{
				Path: s.path, Faults: []Fault{FaultExit}, Every: 1, Program: misbehaving(),
			}})
			d.run(t.Context())
			if len(d.finished) != 1 || !strings.HasPrefix(d.finished[0].Error, "bad binary (exit): ") || !strings.Contains(d.finished[0].Error, want) {
				t.Errorf("%+v, want %q", d.finished, want)
			}
			if got := firstLine(t, s.path); got != "first" {
				t.Errorf("the server's path runs %q", got)
			}
		})
	}
}

// The good binary is back, and what was kept of it gone, also when the run is broken off.
func TestInterruptedInjectionPutsTheBinaryBack(t *testing.T) {
	s := startService(t, "deaf")
	ctx, cancel := context.WithCancel(t.Context())
	d := drives(s, Upgrades{Count: 1, Inject: &Injection{Path: s.path, Faults: []Fault{FaultHang}, Every: 1, Program: misbehaving()}})
	during := ""
	d.Trigger = func(context.Context) error {
		during = firstLine(t, s.path)
		cancel()
		return nil
	}
	d.run(ctx)
	if got := firstLine(t, s.path); got != "first" || !strings.Contains(during, "bad on purpose") {
		t.Errorf("the server's path ran %q, and then %q", during, got)
	}
	if len(d.finished) != 0 {
		t.Errorf("%+v", d.finished)
	}
}

// A command that waits for the upgrade, and fails because of the bad binary, has done what it should.
func TestInjectionByACommandThatFails(t *testing.T) {
	s := startService(t, "")
	for command, want := range map[string]string{
		"'" + s.path + "' || exit 4": "",
		"'" + s.path + "' & exit 4":  "",
		"exit 4":                     "exit status 4",
	} {
		d := drives(s, Upgrades{Count: 1, Inject: &Injection{
			Path: s.path, Faults: []Fault{FaultHang}, Hang: 300 * time.Millisecond, Every: 1, Program: misbehaving(),
		}})
		d.Trigger = ShellCommand(command)
		begun := time.Now()
		d.run(t.Context())
		if took := time.Since(begun); took > d.Timeout*3/4 {
			t.Errorf("%s: it waited for %v after the command had failed", command, took)
		}
		if len(d.finished) != 1 || !strings.Contains(d.finished[0].Error, want) || (d.events()[0].FaultStarted > 0) != (want == "") {
			t.Errorf("%s: %+v, %+v", command, d.finished, d.events())
		} else if want == "" && d.finished[0].Error != "" {
			t.Errorf("%s: %s", command, d.finished[0].Error)
		}
	}
}

// How a bad binary ends is what a server sees of it.
func TestMisbehave(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "nobody reads it")
	for args, want := range map[string]string{
		"exit":      "exit status 1",
		"hang":      "exit status 1",
		"crash":     "signal: segmentation fault",
		"none":      "exit status 1",
		"exit more": "exit status 1",
	} {
		cmd := runHelper("fault", append(strings.Fields(args), fifo, "20ms")...)
		var said strings.Builder
		cmd.Stderr = &said
		begun := time.Now()
		err := cmd.Run()
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", args, err, want)
		}
		if args == "hang" && (time.Since(begun) < 20*time.Millisecond || !strings.Contains(said.String(), "it hung for 20ms")) {
			t.Errorf("after %v it said %q", time.Since(begun), said.String())
		}
		if len(args) > len("crash") != strings.Contains(said.String(), "want FAULT FIFO DURATION") && args != "none" {
			t.Errorf("%s: it said %q", args, said.String())
		}
		if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.CoreDump() {
			t.Errorf("%s left a core file", args)
		}
	}
}

func TestInjectionsThatCannotBe(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for want, i := range map[string]Injection{
		"no faults":                {Path: os.Args[0]},
		`"x" is no fault`:          {Path: os.Args[0], Faults: []Fault{"x"}},
		"say which file":           {Faults: []Fault{FaultExit}},
		"no such file":             {Path: plain + "/no", Faults: []Fault{FaultExit}},
		"chmod +x":                 {Path: plain, Faults: []Fault{FaultExit}},
		"is no file":               {Path: filepath.Dir(plain), Faults: []Fault{FaultExit}},
		"must be shorter than the": {Path: os.Args[0], Faults: []Fault{FaultHang}, Hang: time.Minute},
		"every -1":                 {Path: os.Args[0], Faults: []Fault{FaultExit}, Every: -1},
	} {
		u := Upgrades{Count: 1, Trigger: func(context.Context) error { return nil }, Inject: &i}
		if err := u.withDefaults().validate(); err == nil || !strings.Contains(err.Error(), want) && !errors.Is(err, unix.ENOTDIR) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
