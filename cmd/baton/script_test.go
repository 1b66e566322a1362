//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes the test binary be baton where a script, or a process that one started, calls it so.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"baton": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("BATON_SOCKET", "")
			e.Setenv("GORACE", noRaceSleep)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start": start, "quit": quit, "json": isJSON, "lines": lines, "hello": hello, "say": say,
			"status": status, "usage": usage, "mkconfig": mkconfig, "append": appendTo,
		},
	})
}

// noRaceSleep keeps a process under the race detector from sleeping for a second when it exits.
const noRaceSleep = "atexit_sleep_ms=0"

// proxyProcess is a proxy that a script has started, with the generations that follow it.
type proxyProcess struct {
	cmd  *exec.Cmd
	gone chan string // gets what it logged when no process of it is left
}

// running are the proxies of the scripts, which run side by side: *testscript.TestScript to *proxyProcess.
var running sync.Map

// start starts baton with the arguments that follow, waits until it is in charge, and sets $ADDRESS to that of its first
// listener. The pid file has to be $WORK/pid. It is stopped at the end of the script.
func start(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("start has no negation")
	}
	// os.Args[0] is what an upgrade runs.
	cmd := exec.Command("baton", args...)
	cmd.Dir, cmd.Env = ts.MkAbs("."), append(os.Environ(), "GORACE="+noRaceSleep)
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	log, theirs, err := os.Pipe() // each generation holds it open
	ts.Check(err)
	cmd.Stderr = theirs
	ts.Check(cmd.Start())
	theirs.Close()
	p := &proxyProcess{cmd, make(chan string, 1)}
	go func() {
		text, _ := io.ReadAll(log)
		log.Close()
		p.gone <- string(text)
	}()
	running.Store(ts, p)
	ts.Defer(func() { end(ts) })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		ts.Fatalf("no line that says ready: %v", err)
	}
	ts.Logf("%s", line)
	words := strings.Fields(line)
	if len(words) < 3 || words[0] != "ready" {
		ts.Fatalf("%q says nothing of being ready", line)
	}
	_, address, _ := strings.Cut(words[1], "=")
	ts.Setenv("ADDRESS", address)
}

// quit ends the proxy that start has started, and writes what it has logged to the file log.
func quit(ts *testscript.TestScript, _ bool, _ []string) {
	log := end(ts)
	ts.Logf("%s", log)
	ts.Check(os.WriteFile(ts.MkAbs("log"), []byte(log), 0o600))
}

func end(ts *testscript.TestScript) (log string) {
	found, ok := running.LoadAndDelete(ts)
	if !ok {
		return ""
	}
	p := found.(*proxyProcess)
	pid := p.cmd.Process.Pid
	if text, err := os.ReadFile(ts.MkAbs("pid")); err == nil { // the generation in charge
		if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			pid = n
		}
	}
	_ = syscall.Kill(pid, syscall.SIGTERM)
	select {
	case log = <-p.gone:
	case <-time.After(20 * time.Second):
		_ = syscall.Kill(pid, syscall.SIGKILL)
		_ = p.cmd.Process.Kill()
		log = <-p.gone
		ts.Logf("%s", log)
		ts.Logf("pid %d did not end, and was killed", pid)
	}
	_ = p.cmd.Wait()
	return log
}

// status runs a command that ends with the given status.
func status(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("status %d, want %d; standard error: %q", got, want, ts.ReadFile("stderr"))
	}
}

// seeHelp ends what is said of a command line: whose help has what it should have been.
var seeHelp = regexp.MustCompile(` \(see baton( [a-z-]+)* --help\)\n$`)

// usage runs baton with arguments that cannot be carried out.
func usage(ts *testscript.TestScript, _ bool, args []string) {
	status(ts, false, append([]string{"2", "baton"}, args...))
	lines(ts, false, []string{"stderr", "1"})
	lines(ts, false, []string{"stdout", "0"})
	if text := ts.ReadFile("stderr"); !strings.HasPrefix(text, "baton: ") || !seeHelp.MatchString(text) {
		ts.Fatalf("standard error: %q", text)
	}
}

// mkconfig makes FILE of FILE.in, with the variables of the script.
func mkconfig(ts *testscript.TestScript, _ bool, args []string) {
	text := os.Expand(ts.ReadFile(args[0]+".in"), ts.Getenv)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// appendTo appends the second file to the first.
func appendTo(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0]) + ts.ReadFile(args[1])
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// isJSON wants a file to be JSON that has the keys which follow.
func isJSON(ts *testscript.TestScript, neg bool, args []string) {
	var have map[string]any
	if err := json.Unmarshal([]byte(ts.ReadFile(args[0])), &have); err != nil {
		ts.Fatalf("%v", err)
	}
	for _, key := range args[1:] {
		if _, ok := have[key]; ok == neg {
			ts.Fatalf("%q: %v", key, ok)
		}
	}
}

// lines wants a file to have so many lines.
func lines(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	if text := ts.ReadFile(args[0]); strings.Count(text, "\n") != want {
		ts.Fatalf("%s has not %d lines: %q", args[0], want, text)
	}
}

// hello listens, says hello to whoever connects, and sets $SERVER to its address.
func hello(ts *testscript.TestScript, _ bool, _ []string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv("SERVER", ln.Addr().String())
	ts.Defer(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(c, "hello")
			c.Close()
		}
	}()
}

// say connects to an address, and wants to hear hello.
func say(ts *testscript.TestScript, neg bool, args []string) {
	c, err := net.Dial("tcp", args[0])
	ts.Check(err)
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	text, err := io.ReadAll(c)
	if heard := string(text) == "hello\n" && err == nil; heard == neg {
		ts.Fatalf("heard %q, %v", text, err)
	}
}
