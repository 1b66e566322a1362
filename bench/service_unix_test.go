//go:build unix

package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// service is a server of these tests that runs the file at path for its next generation, as real ones do: the test
// binary again, by a script. It ends an upgrade by a new generation that says it is ready, or one that goes away.
type service struct {
	path    string // what it runs
	pidFile string
	addr    string
	dir     string
}

// startService starts one, which ends with the test, all generations of it. Modes: "fragile" exits when an upgrade
// fails, "believer" puts every new generation into the pidfile before it is ready, "deaf" never runs anything.
func startService(t *testing.T, mode string) *service {
	t.Helper()
	dir := t.TempDir()
	s := &service{path: filepath.Join(dir, "server"), pidFile: filepath.Join(dir, "pid"), dir: dir}
	s.write(t, s.path, "first")
	alive, inherited, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(s.path)
	cmd.Env = append(os.Environ(), "SERVICE_PATH="+s.path, "SERVICE_PIDFILE="+s.pidFile, "SERVICE_MODE="+mode)
	cmd.Stdout = inherited // and so do all generations, which tells whether one is left
	var said bytes.Buffer
	cmd.Stderr = &said
	ready, readyIn, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.ExtraFiles = []*os.File{readyIn}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	inherited.Close()
	readyIn.Close()
	var waiting sync.WaitGroup
	waiting.Go(func() { cmd.Wait() })
	t.Cleanup(func() {
		if pid, err := readPID(s.pidFile); err == nil {
			unix.Kill(pid, unix.SIGTERM)
		}
		unix.Kill(cmd.Process.Pid, unix.SIGTERM)
		alive.SetReadDeadline(time.Now().Add(ample))
		if _, err := io.Copy(io.Discard, alive); err != nil {
			t.Errorf("a generation of the service lives on: %v", err)
		}
		alive.Close()
		waiting.Wait()
		if t.Failed() {
			t.Logf("the service said:\n%s", said.String())
		}
	})
	addr, err := io.ReadAll(ready)
	ready.Close()
	if err != nil || len(addr) == 0 {
		t.Fatalf("the service did not start: %v", err)
	}
	s.addr = string(addr)
	return s
}

// write makes a file that runs the service, under a version's name.
func (s *service) write(t *testing.T, path, version string) {
	t.Helper()
	script := fmt.Sprintf("#!/bin/sh\n# %s\nSERVICE_VERSION=%s %s=service exec '%s'\n", version, version, helperEnv, os.Args[0])
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
}

// trigger asks for an upgrade.
func (s *service) trigger() Trigger { return SignalPIDFile(s.pidFile, unix.SIGHUP) }

func init() { helpers["service"] = serviceHelper }

// drainsFor is how long an old generation stays.
const drainsFor = 250 * time.Millisecond

func serviceHelper() error {
	generation, _ := strconv.Atoi(os.Getenv("SERVICE_GENERATION"))
	version := os.Getenv("SERVICE_VERSION")
	ready := os.NewFile(3, "ready")
	var ln net.Listener
	var err error
	if generation == 0 {
		ln, err = net.Listen("tcp", "127.0.0.1:0")
	} else {
		ln, err = net.FileListener(os.NewFile(4, "listener"))
	}
	if err != nil {
		return err
	}
	hup, term := make(chan os.Signal, 8), make(chan os.Signal, 1)
	signal.Notify(hup, unix.SIGHUP)
	signal.Notify(term, unix.SIGTERM)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		w.Header().Set("Service-Generation", fmt.Sprintf("%d-%s", generation, version))
		io.WriteString(w, "ok")
	})}
	go server.Serve(ln)
	if err := takePIDFile(os.Getpid()); err != nil {
		return err
	}
	io.WriteString(ready, ln.Addr().String())
	ready.Close()
	for {
		select {
		case <-term:
			return nil
		case <-hup:
		}
		if os.Getenv("SERVICE_MODE") == "deaf" {
			continue
		}
		err := nextService(ln.(*net.TCPListener), generation)
		if err == nil {
			ln.Close()
			time.Sleep(drainsFor) // on purpose: it is what the tests look for
			return nil
		}
		fmt.Fprintln(os.Stderr, "upgrade failed:", err)
		if os.Getenv("SERVICE_MODE") == "fragile" {
			return err
		}
	}
}

func takePIDFile(pid int) error {
	path := os.Getenv("SERVICE_PIDFILE")
	if err := os.WriteFile(path+".new", fmt.Appendln(nil, pid), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// nextService returns when the next generation serves, or has failed and is gone.
func nextService(ln *net.TCPListener, generation int) error {
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
	cmd := exec.Command(os.Getenv("SERVICE_PATH"))
	cmd.Env = append(os.Environ(), "SERVICE_GENERATION="+strconv.Itoa(generation+1))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{w, file}
	err = cmd.Start()
	w.Close()
	if err != nil {
		return err
	}
	if os.Getenv("SERVICE_MODE") == "believer" {
		if err := takePIDFile(cmd.Process.Pid); err != nil {
			return err
		}
	}
	r.SetReadDeadline(time.Now().Add(ample))
	said, err := io.ReadAll(r)
	if len(said) > 0 {
		return nil
	}
	cmd.Process.Kill()
	return errors.Join(err, fmt.Errorf("the new generation is not ready: %w", cmd.Wait()))
}

// firstLine is the version that a file of write's runs.
func firstLine(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(strings.Split(string(text), "\n")[1], "# ")
}
