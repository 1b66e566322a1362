//go:build unix

package pidfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

const helperVar = "PIDFILE_TEST_HELPER"

func TestMain(m *testing.M) {
	if name := os.Getenv(helperVar); name != "" {
		os.Exit(help(name, os.Args[1]))
	}
	goleak.VerifyTestMain(m)
}

// help is a test's other process. It waits for a line on stdin, does what its name says, tells the outcome in a line
// on stdout, and stays until stdin ends.
func help(name, path string) int {
	stdin := bufio.NewReader(os.Stdin)
	if _, err := stdin.ReadString('\n'); err != nil {
		return 1
	}
	var file *File
	pending, err := Prepare(path)
	if err == nil && name == "create" {
		file, err = pending.Create()
	} else if err == nil && name == "replace" {
		file, err = pending.Replace()
	}
	var running *RunningError
	switch {
	case errors.As(err, &running):
		fmt.Println("refused by", running.PID)
	case err != nil:
		fmt.Println(err)
	default:
		fmt.Println("done")
	}
	_, _ = io.Copy(io.Discard, stdin)
	if file != nil {
		if err := file.Remove(); err != nil {
			fmt.Println(err)
			return 1
		}
	}
	return 0
}

type process struct {
	*exec.Cmd
	t     *testing.T
	stdin io.WriteCloser
	lines *bufio.Reader
}

func start(t *testing.T, name, path string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(os.Args[0], path), t: t}
	p.Env = append(os.Environ(), helperVar+"="+name, "GORACE=atexit_sleep_ms=0") // it sleeps a second at each exit
	p.Stderr = os.Stderr
	var err error
	if p.stdin, err = p.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.lines = bufio.NewReader(stdout)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.ProcessState == nil {
			p.kill()
		}
	})
	return p
}

func (p *process) pid() int { return p.Process.Pid }

// begin lets the helper do its work.
func (p *process) begin() {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, "go\n"); err != nil {
		p.t.Fatal(err)
	}
}

// outcome waits for the helper's line.
func (p *process) outcome() string {
	p.t.Helper()
	line, err := p.lines.ReadString('\n')
	if err != nil {
		p.t.Fatal("helper:", err)
	}
	return strings.TrimSpace(line)
}

func (p *process) run(want string) {
	p.t.Helper()
	p.begin()
	if got := p.outcome(); got != want {
		p.t.Fatalf("helper: %s, want %s", got, want)
	}
}

// stop lets the helper remove its file and exit.
func (p *process) stop() {
	p.t.Helper()
	p.stdin.Close()
	if err := p.Wait(); err != nil {
		p.t.Fatal("helper:", err)
	}
}

func (p *process) kill() {
	_ = p.Process.Signal(unix.SIGKILL)
	_ = p.Wait()
}

// deadPID returns a pid that no process has.
func deadPID(t *testing.T) int {
	p := start(t, "create", "")
	p.kill()
	return p.pid()
}
