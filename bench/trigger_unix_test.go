//go:build unix

package bench

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestSignalPIDFile(t *testing.T) {
	got := make(chan os.Signal, 1)
	signal.Notify(got, unix.SIGUSR2)
	defer signal.Stop(got)
	if err := SignalPIDFile(pidFile(t, os.Getpid()), unix.SIGUSR2)(t.Context()); err != nil {
		t.Fatal(err)
	}
	if sig := <-got; sig != unix.SIGUSR2 {
		t.Error(sig)
	}
	for content, want := range map[string]string{"": "holds no pid", "x\n": "holds no pid", "-1": "holds no pid", "0": "holds no pid"} {
		path := filepath.Join(t.TempDir(), "pid")
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := SignalPIDFile(path, unix.SIGUSR2)(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("pidfile %q: %v, want %q", content, err, want)
		}
	}
	if err := SignalPIDFile(filepath.Join(t.TempDir(), "none"), unix.SIGUSR2)(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	dead := runHelper("nothing")
	if err := dead.Run(); err == nil {
		t.Fatal("there is no such helper")
	}
	if err := SignalPIDFile(pidFile(t, dead.Process.Pid), unix.SIGUSR2)(t.Context()); !errors.Is(err, unix.ESRCH) {
		t.Errorf("a dead process: %v", err)
	}
}

func TestParseSignal(t *testing.T) {
	for s, want := range map[string]syscall.Signal{
		"HUP": unix.SIGHUP, "SIGHUP": unix.SIGHUP, "usr2": unix.SIGUSR2, "1": 1, "12": 12, "64": 64,
	} {
		if got, err := ParseSignal(s); err != nil || got != want {
			t.Errorf("%q is %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "SIG", "HANGUP", "0", "-1", "65", "SIGSIGHUP"} {
		if got, err := ParseSignal(s); err == nil {
			t.Errorf("%q is %v", s, got)
		}
	}
}

func TestShellCommand(t *testing.T) {
	if err := ShellCommand("exit 0")(t.Context()); err != nil {
		t.Error(err)
	}
	err := ShellCommand("echo one; echo the config is bad >&2; exit 3")(t.Context())
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "the config is bad") {
		t.Errorf("%v, want the status and the last words", err)
	}
}

// A command that is given up goes, and so does what it started. What holds the FIFO open is what still lives.
func TestShellCommandGivenUpLeavesNothing(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "alive")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- ShellCommand("exec 3>" + fifo + "; sleep 1000 & wait")(ctx) }()
	alive, err := os.Open(fifo) // waits until the command has opened it too
	if err != nil {
		t.Fatal(err)
	}
	defer alive.Close()
	cancel()
	if err := <-ended; err == nil {
		t.Error("no error")
	}
	alive.SetReadDeadline(time.Now().Add(ample))
	if _, err := alive.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the command's child lives on: %v", err)
	}
}

// A server that a command leaves in the background keeps its output and its life.
func TestShellCommandLeavesServersAlone(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "stop")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	said := filepath.Join(t.TempDir(), "said")
	if err := ShellCommand("(read go <" + fifo + "; echo still here && echo alive >" + said + ".new; mv " + said + ".new " + said + ") &")(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(fifo, []byte("go\n"), 0); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(ample); ; time.Sleep(time.Millisecond) {
		if text, err := os.ReadFile(said); err == nil {
			if string(text) != "alive\n" {
				t.Errorf("it said %q", text)
			}
			return
		}
		if time.Now().After(end) {
			t.Fatal("it did not live on")
		}
	}
}
