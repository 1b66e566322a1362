package demo

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/upgrader"
	"golang.org/x/sys/unix"
)

// The tests start this test binary as a demo, under a name of its own.
const (
	envPIDFile = "BATON_TEST_DEMO"
	envCert    = "BATON_TEST_CERT" // a folder with tls.crt and tls.key
)

func TestMain(m *testing.M) {
	raiseFileLimit()
	if pidFile := os.Getenv(envPIDFile); pidFile != "" {
		cert, key := "", ""
		if dir := os.Getenv(envCert); dir != "" {
			cert, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
		}
		err := Run(context.Background(), Config{
			Cert: cert, Key: key,
			HTTP: "127.0.0.1:0", HTTPS: "127.0.0.1:0", TCP: "127.0.0.1:0", Ready: os.Stdout,
			Upgrader: upgrader.Options{
				PIDFile: pidFile, Probation: upgrader.NoProbation, DrainTimeout: time.Minute,
				Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
			},
		})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(upgrader.ExitCode(err))
	}
	os.Exit(m.Run())
}

// raiseFileLimit allows as many open files as the system does; root may go beyond the hard limit.
func raiseFileLimit() uint64 {
	const most = 120_000
	_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: most, Max: most})
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		return 0
	}
	if l.Cur < l.Max {
		l.Cur = l.Max
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &l)
	}
	return l.Cur
}

// process is a running demo.
type process struct {
	t                testing.TB
	pidFile          string
	http, https, tcp string
}

const patience = 30 * time.Second

func start(t testing.TB, env ...string) *process {
	t.Helper()
	p := &process{t: t, pidFile: filepath.Join(t.TempDir(), "demo.pid")}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), envPIDFile+"="+p.pidFile), env...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	log, logWriter, err := os.Pipe() // every generation holds it: at its end, all have gone
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = logWriter
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	logWriter.Close()
	gone := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(log)
		_ = cmd.Wait()
		gone <- string(text)
	}()
	t.Cleanup(func() {
		for range 2 { // the second ends a drain
			if pid := p.pid(); pid != 0 {
				_ = syscall.Kill(pid, syscall.SIGTERM)
			}
			select {
			case text := <-gone:
				if t.Failed() {
					t.Log(text)
				}
				return
			case <-time.After(10 * time.Second):
			}
		}
		t.Error("the demo did not stop")
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("the demo says %q: %v", line, err)
	}
	for _, field := range strings.Fields(line) {
		switch key, value, _ := strings.Cut(field, "="); key {
		case "http":
			p.http = value
		case "https":
			p.https = value
		case "tcp":
			p.tcp = value
		}
	}
	return p
}

func (p *process) pid() int {
	text, _ := os.ReadFile(p.pidFile)
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

// upgrade sends HUP, and returns how long it took until another process was in charge, and until the old one had gone.
func (p *process) upgrade() (committed, exited time.Duration) {
	p.t.Helper()
	old, begin := p.pid(), time.Now()
	if err := syscall.Kill(old, syscall.SIGHUP); err != nil {
		p.t.Fatal(err)
	}
	p.until("another process is in charge", func() bool { return p.pid() != old })
	committed = time.Since(begin)
	p.until("the old process has gone", func() bool { return !alive(old) })
	return committed, time.Since(begin)
}

func (p *process) until(what string, done func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(200 * time.Microsecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("waited in vain until %s", what)
		}
	}
}

// alive tells whether pid runs. One that has ended and was not waited for does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// memory returns how much of a process is in memory, in MB.
func memory(t testing.TB, pid int) float64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmRSS:" {
			kb, _ := strconv.ParseFloat(fields[1], 64)
			return kb / 1024
		}
	}
	return 0
}
