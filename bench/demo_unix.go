//go:build unix

package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Demo is a running demo, all generations of it. They share a process group of their own: so a terminal's Ctrl-C ends
// the bench and not them, and none of them is ever forgotten, whichever of them started which.
type Demo struct {
	DemoAddrs
	log   string
	dir   string
	group int // the first generation's pid
	drain time.Duration
	out   *os.File // what the generations write to their standard output

	reaping sync.Mutex
	first   *unix.WaitStatus // how the first generation ended
	quit    chan struct{}
	threads sync.WaitGroup
}

// StartDemo starts the demo on free ports of the loopback interface and waits until it serves. The caller must call
// Stop. On Linux this process becomes the one that orphans of its descendants fall to, until Stop.
func StartDemo(ctx context.Context, o DemoOptions) (_ *Demo, err error) {
	orElse(&o.DrainTimeout, 5*time.Second)
	dir, err := os.MkdirTemp("", "baton-bench-")
	if err != nil {
		return nil, err
	}
	d := &Demo{dir: dir, log: o.LogFile, drain: o.DrainTimeout, quit: make(chan struct{})}
	d.PIDFile = filepath.Join(dir, "demo.pid")
	if d.log == "" {
		d.log = filepath.Join(dir, "demo.log")
	}
	said, err := d.start(o)
	if err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("start the demo: %w", err)
	}
	timeout := time.NewTimer(demoReady)
	defer timeout.Stop()
	var line string
	select {
	case line = <-said:
	case <-timeout.C:
		err = fmt.Errorf("not ready within %v", demoReady)
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	switch {
	case err != nil:
	case line == "":
		err = fmt.Errorf("ended before it was ready%s", d.ending())
	default:
		pidFile := d.PIDFile
		if d.DemoAddrs, err = parseReady(line); err == nil {
			orElse(&d.PIDFile, pidFile)
		}
	}
	if err != nil {
		err = fmt.Errorf("start the demo: %w%s", err, lastWords(d.log))
		d.Stop()
		return nil, err
	}
	return d, nil
}

// start starts the first generation. The channel gets the first line that it says, or is closed when it ends.
func (d *Demo) start(o DemoOptions) (<-chan string, error) {
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(o.Path, o.args(d.PIDFile)...)
	cmd.Env = append(os.Environ(), o.Env...)
	cmd.Stdout, cmd.Stderr = in, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	adoptOrphans(true)
	err = cmd.Start()
	in.Close()
	if err != nil {
		adoptOrphans(false)
		out.Close()
		return nil, err
	}
	d.group, d.out = cmd.Process.Pid, out
	cmd.Process.Release() // reap waits for it, with all the others

	said := make(chan string, 1)
	d.threads.Go(func() {
		// Later generations keep this pipe, so it is read to its end, and nobody dies from writing to it.
		lines := bufio.NewReader(out)
		if line, err := lines.ReadString('\n'); err == nil {
			said <- line
		}
		close(said)
		io.Copy(io.Discard, lines)
	})
	d.threads.Go(func() {
		every := time.NewTicker(100 * time.Millisecond)
		defer every.Stop()
		for {
			select {
			case <-every.C:
				d.reap()
			case <-d.quit:
				return
			}
		}
	})
	return said, nil
}

// reap takes note of the generations that have ended, and reports whether none is left.
func (d *Demo) reap() (gone bool) {
	d.reaping.Lock()
	defer d.reaping.Unlock()
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-d.group, &status, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			break
		}
		if pid == d.group {
			d.first = &status
		}
	}
	return unix.Kill(-d.group, 0) == unix.ESRCH
}

// ending says how the first generation ended, after it has closed its output.
func (d *Demo) ending() string {
	d.await(time.Second)
	d.reaping.Lock()
	defer d.reaping.Unlock()
	switch {
	case d.first == nil:
		return ""
	case d.first.Signaled():
		return ": " + d.first.Signal().String()
	default:
		return fmt.Sprintf(": exit status %d", d.first.ExitStatus())
	}
}

// Stop ends all generations: by SIGTERM to the one in the pidfile, and, when they have had their drain timeout and a
// little, by SIGKILL to those that are left, which it reports as an error. It removes the demo's files.
func (d *Demo) Stop() error {
	if pid, err := readPID(d.PIDFile); err != nil || !d.owns(pid) || unix.Kill(pid, unix.SIGTERM) != nil {
		unix.Kill(-d.group, unix.SIGTERM)
	}
	var err error
	if !d.await(d.drain + 3*time.Second) {
		unix.Kill(-d.group, unix.SIGKILL)
		err = fmt.Errorf("the demo did not end within %v of SIGTERM and was killed", d.drain+3*time.Second)
		d.await(5 * time.Second)
	}
	close(d.quit)
	d.out.Close()
	d.threads.Wait()
	adoptOrphans(false)
	os.RemoveAll(d.dir)
	return err
}

// owns reports whether a pid is a generation of this demo. A pidfile that was left behind may name anybody.
func (d *Demo) owns(pid int) bool {
	group, err := unix.Getpgid(pid)
	return err == nil && group == d.group
}

// await reports whether all generations end in time.
func (d *Demo) await(limit time.Duration) bool {
	deadline := time.Now().Add(limit)
	for !d.reap() {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(5 * time.Millisecond)
	}
	return true
}

// LastWords returns up to n last lines of the demo's log.
func (d *Demo) LastWords(n int) []string { return tail(d.log, n) }
