//go:build unix

package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const canInject = true

// crashAfter is long enough for a server to have taken note that its new generation runs.
const crashAfter = 100 * time.Millisecond

// Misbehave is the program of a bad binary: fault, FIFO and hang are the three arguments that Injection adds to its
// command. It does not return from a crash; otherwise it returns why the process must now exit by status 1.
func Misbehave(args []string) error {
	if len(args) != 3 || !slices.Contains(faults, Fault(args[0])) {
		return fmt.Errorf("%q: want FAULT FIFO DURATION, as baton bench --inject gives them", args)
	}
	fault, fifo := Fault(args[0]), args[1]
	hang, err := time.ParseDuration(args[2])
	if err != nil {
		return err
	}
	// A bench that has gone is no reason to behave better.
	if started, err := os.OpenFile(fifo, os.O_WRONLY|unix.O_NONBLOCK, 0); err == nil {
		defer started.Close()
		fmt.Fprintln(started, os.Getpid())
	}
	switch fault {
	case FaultHang:
		time.Sleep(hang)
		return fmt.Errorf("this binary is bad on purpose (baton bench --inject): it hung for %v", hang)
	case FaultCrash:
		time.Sleep(crashAfter)
		// Go's runtime turns a SIGSEGV from a process into exit status 2. A shell in its place dies as it should.
		unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
		return unix.Exec("/bin/sh", []string{"sh", "-c", "kill -SEGV $$"}, nil)
	default:
		return errors.New("this binary is bad on purpose (baton bench --inject): it exits at once")
	}
}

// inject lets the server upgrade to a bad binary. The event is over when the trigger has returned, the binary has ended
// and the service had Settle to show itself.
func (d *driver) inject(ctx context.Context, e *Event) Upgrade {
	from := d.seen.now()
	u, err := d.injected(ctx, e)
	if err == nil {
		err = d.unmoved(u, from)
	}
	if err != nil {
		u.Error = fmt.Sprintf("bad binary (%s): %v", e.Fault, err)
		if u.Number == 0 {
			u = d.failed(e.Number, errors.New(u.Error))
		}
	}
	return u
}

// injected returns an Upgrade without a number if nothing was triggered.
func (d *driver) injected(ctx context.Context, e *Event) (u Upgrade, err error) {
	bad, err := awaitFault()
	if err != nil {
		return u, err
	}
	defer bad.close()
	good, err := keep(d.Inject.Path)
	if err != nil {
		return u, err
	}
	defer func() { err = errors.Join(err, good.putBack()) }()
	if err := d.Inject.put(e.Fault, bad.fifo); err != nil {
		return u, fmt.Errorf("install as %s: %w", d.Inject.Path, err)
	}

	u, begun := d.begin(e.Number)
	defer d.end()
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	defer context.AfterFunc(ctx, bad.giveUp)()
	triggered := make(chan error, 1)
	go func() {
		err := d.Trigger(ctx)
		if err != nil {
			bad.hurry()
		}
		triggered <- err
	}()
	started, startErr := bad.started()
	if startErr == nil {
		e.FaultStarted = max(ms(time.Since(begun)), minMS)
		startErr = bad.ended()
		e.FaultEnded = max(ms(time.Since(begun)), minMS)
	}
	// A command that fails is what a bad binary is for, once the server has tried it.
	triggerErr := <-triggered
	switch {
	case startErr == nil:
		u.Triggered = max(ms(time.Since(begun)), minMS)
		sleepUntil(ctx, time.Now().Add(d.Settle))
		return u, nil
	case triggerErr != nil:
		return u, triggerErr
	case started == "":
		return u, fmt.Errorf("the server did not start %s within %v: give the file that it runs when it upgrades "+
			"(a server with a /tmp of its own, or whose user may not run this program, cannot be told either)",
			d.Inject.Path, d.Timeout)
	default:
		return u, fmt.Errorf("pid %s still ran after %v", started, d.Timeout)
	}
}

// unmoved returns an error if somebody else serves than before the bad binary was tried.
func (d *driver) unmoved(u Upgrade, from string) error {
	if now := d.seen.now(); now != from {
		return fmt.Errorf("generation %s serves, and generation %s did before", now, from)
	}
	if u.FromPID == 0 {
		return nil
	}
	pid, err := d.pid()
	switch {
	case err != nil:
		return fmt.Errorf("pidfile: %w", err)
	case pid != u.FromPID:
		return fmt.Errorf("%s names pid %d, and pid %d before", d.PIDFile, pid, u.FromPID)
	}
	if _, err := readProcess(pid); err != nil {
		return fmt.Errorf("the old generation, pid %d, is gone, and %s still names it", pid, d.PIDFile)
	}
	return nil
}

// faultPipe is the FIFO by which a bad binary tells that it runs.
type faultPipe struct {
	fifo  string
	read  *os.File
	write *os.File // of our own, so that there is no end before the binary has begun
	lines *bufio.Reader

	mu      sync.Mutex
	begun   bool // the binary runs
	givenUp bool
}

// afterFailure is how long a binary may still take to say that it runs, once the command that upgrades has failed.
const afterFailure = time.Second

func awaitFault() (_ *faultPipe, err error) {
	dir, err := os.MkdirTemp("", "baton-bench-fault-")
	if err != nil {
		return nil, err
	}
	p := &faultPipe{fifo: filepath.Join(dir, "alive")}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if err := unix.Mkfifo(p.fifo, 0o622); err != nil {
		return nil, os.NewSyscallError("mkfifo", err)
	}
	// The server may run as another user than the bench.
	if err := errors.Join(os.Chmod(dir, 0o711), os.Chmod(p.fifo, 0o622)); err != nil {
		return nil, err
	}
	if p.read, err = os.OpenFile(p.fifo, os.O_RDONLY|syscall.O_NONBLOCK, 0); err != nil {
		return nil, err
	}
	if p.write, err = os.OpenFile(p.fifo, os.O_WRONLY|syscall.O_NONBLOCK, 0); err != nil {
		return nil, err
	}
	p.lines = bufio.NewReader(p.read)
	return p, nil
}

// started returns the pid of the first process that runs the binary.
func (p *faultPipe) started() (string, error) {
	line, err := p.lines.ReadString('\n')
	if err != nil {
		return "", err
	}
	p.write.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begun = true
	if !p.givenUp {
		p.read.SetReadDeadline(time.Time{})
	}
	return strings.TrimSpace(line), nil
}

// ended returns nil when no process runs the binary any more.
func (p *faultPipe) ended() error {
	_, err := io.Copy(io.Discard, p.lines)
	return err
}

// giveUp ends the waiting for the binary.
func (p *faultPipe) giveUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.givenUp = true
	p.read.SetReadDeadline(time.Now())
}

// hurry ends the waiting for the binary soon, unless it runs already.
func (p *faultPipe) hurry() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.begun && !p.givenUp {
		p.read.SetReadDeadline(time.Now().Add(afterFailure))
	}
}

func (p *faultPipe) close() {
	for _, f := range []*os.File{p.read, p.write} {
		if f != nil {
			f.Close()
		}
	}
	os.RemoveAll(filepath.Dir(p.fifo))
}
