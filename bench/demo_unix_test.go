//go:build unix

package bench

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The demo of these tests is the test binary: a plain net/http server whose SIGHUP hands its listener to a new
// generation. What it loses on the way is its own affair.

func startDemo(t *testing.T, mode string) (*Demo, error) {
	t.Helper()
	return StartDemo(t.Context(), DemoOptions{
		Path:         os.Args[0],
		Env:          []string{helperEnv + "=demo", "DEMO_MODE=" + mode},
		DrainTimeout: time.Second,
	})
}

// gone fails the test if a process of the demo's group is left.
func (d *Demo) gone(t *testing.T) {
	t.Helper()
	if err := unix.Kill(-d.group, 0); err != unix.ESRCH {
		t.Errorf("a generation of the demo lives on: %v", err)
	}
	if _, err := os.Stat(d.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left: %v", d.dir, err)
	}
}

func TestUpgradesOfRealProcesses(t *testing.T) {
	d, err := startDemo(t, "good")
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	defer func() {
		if !stopped {
			d.Stop()
		}
	}()
	target, err := ParseHTTP("http", d.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	target.GenerationHeader = "Baton-Generation"
	report, err := Run(t.Context(), Plan{
		Lanes: []Lane{NewConnections(target), KeepAlive(target)},
		Rate:  100,
		Conns: 4,
		Upgrades: &Upgrades{
			Count:    3,
			Interval: 100 * time.Millisecond,
			Trigger:  SignalPIDFile(d.PIDFile, unix.SIGHUP),
			PIDFile:  d.PIDFile,
		},
		LateAfter: time.Hour,
		MaxLost:   1000,
	})
	if err != nil {
		t.Fatal(err)
	}
	pids := map[int]bool{d.PID: true}
	for i, u := range report.Upgrades {
		if u.Error != "" || u.FromGeneration != strconv.Itoa(i+1) || u.ToGeneration != strconv.Itoa(i+2) || !pids[u.FromPID] || pids[u.ToPID] {
			t.Errorf("upgrade %+v", u)
		}
		pids[u.ToPID] = true
	}
	if len(report.Upgrades) != 3 || !report.Verdict.Pass {
		t.Errorf("%d upgrades; %s", len(report.Upgrades), report.Verdict.Line)
	}
	if report.Lanes[0].Upgrading.Count == 0 {
		t.Error("no operation within an upgrade")
	}
	stopped = true
	if err := d.Stop(); err != nil {
		t.Error(err)
	}
	d.gone(t)
}

func TestDemoThatDoesNotStart(t *testing.T) {
	for mode, want := range map[string]string{
		"exits":   "ended before it was ready: exit status 1; it said: helper demo: no such port",
		"garbage": "want its ready line",
	} {
		_, err := startDemo(t, mode)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", mode, err, want)
		}
	}
	_, err := StartDemo(t.Context(), DemoOptions{Path: "/nonexistent/baton"})
	if !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), brief)
	defer cancel()
	_, err = StartDemo(ctx, DemoOptions{Path: os.Args[0], Env: []string{helperEnv + "=demo", "DEMO_MODE=mute"}})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("mute: %v", err)
	}
}

// Generations that hear no SIGTERM are killed, all of them.
func TestStubbornDemoIsKilled(t *testing.T) {
	d, err := startDemo(t, "stubborn")
	if err != nil {
		t.Fatal(err)
	}
	d.drain = -3*time.Second + brief // its patience, less the usual extra
	if err := d.Stop(); err == nil || !strings.Contains(err.Error(), "was killed") {
		t.Error(err)
	}
	d.gone(t)
}

// A pidfile that names somebody else's process does not get that one a SIGTERM.
func TestStopLeavesOthersAlone(t *testing.T) {
	got := make(chan os.Signal, 1)
	signal.Notify(got, unix.SIGTERM)
	defer signal.Stop(got)
	d, err := startDemo(t, "good")
	if err != nil {
		t.Fatal(err)
	}
	writePID(t, d.PIDFile, os.Getpid())
	if err := d.Stop(); err != nil {
		t.Error(err)
	}
	d.gone(t)
	select {
	case <-got:
		t.Error("SIGTERM went to the wrong process")
	default:
	}
}

func init() { helpers["demo"] = demoHelper }

func demoHelper() error {
	mode := os.Getenv("DEMO_MODE")
	switch mode {
	case "exits":
		return errors.New("no such port")
	case "garbage":
		fmt.Println("hello")
		select {}
	case "mute":
		select {}
	}
	flags := flag.NewFlagSet("demo", flag.ExitOnError)
	pidFile := flags.String("pid-file", "", "")
	addr := flags.String("http", "", "")
	flags.String("https", "", "")
	flags.String("tcp", "", "")
	flags.Duration("drain-timeout", 0, "")
	flags.Parse(os.Args[2:])

	generation, _ := strconv.Atoi(os.Getenv("DEMO_GENERATION"))
	generation++
	var ln net.Listener
	var err error
	if generation == 1 {
		ln, err = net.Listen("tcp", *addr)
	} else {
		ln, err = net.FileListener(os.NewFile(3, "listener"))
	}
	if err != nil {
		return err
	}
	hup, term := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(hup, unix.SIGHUP)
	signal.Notify(term, unix.SIGTERM)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Baton-Generation", strconv.Itoa(generation))
		if r.Method == http.MethodPost {
			io.Copy(w, r.Body)
			return
		}
		io.WriteString(w, "ok")
	})}
	go server.Serve(ln)
	if err := os.WriteFile(*pidFile+".new", fmt.Appendln(nil, os.Getpid()), 0o644); err != nil {
		return err
	}
	if err := os.Rename(*pidFile+".new", *pidFile); err != nil {
		return err
	}
	if generation == 1 {
		fmt.Printf("ready https=127.0.0.1:1 tcp=127.0.0.1:1 pid-file=%s more=things http=%s pid=%d\n", *pidFile, ln.Addr(), os.Getpid())
	} else {
		os.NewFile(4, "ready").Close()
	}
	for {
		select {
		case <-term:
			if mode == "stubborn" {
				continue
			}
			server.Close()
			return nil
		case <-hup:
			if err := nextGeneration(ln.(*net.TCPListener), generation); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			return server.Shutdown(ctx)
		}
	}
}

// nextGeneration returns when the next one serves.
func nextGeneration(ln *net.TCPListener, generation int) error {
	file, err := ln.File()
	if err != nil {
		return err
	}
	defer file.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), "DEMO_GENERATION="+strconv.Itoa(generation))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{file, w}
	err = cmd.Start()
	w.Close()
	if err != nil {
		return err
	}
	_, err = io.ReadAll(r)
	return err
}
