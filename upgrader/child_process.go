package upgrader

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/seed-e3b9a99f/baton/upgrader/internal/control"
)

// startedIn is the working directory that relative paths start at: a service may change it, and its children start
// where it did.
var startedIn, _ = os.Getwd()

// childProcess is the parent's end of one upgrade: a process, its control channel, its standard error.
type childProcess struct {
	number     int // of the upgrade in this process
	conn       *control.Conn
	sent       []*fd
	successors []successor
	post       func(input)

	claim control.Claim // once it is ready

	mu     sync.Mutex
	stderr *stderrTail
	pid    int // 0 until it runs
	proc   *os.Process
	killed bool
	exited chan struct{} // closed when proc has been waited for
	status error
}

// successor is a new channel for a generation older than this process, which leads to the child.
type successor struct {
	to   *control.Conn // the older generation
	conn *control.Conn // its end of the new channel
}

// launch starts the program afresh: whatever is at os.Args[0] now is the new version.
func (c *childProcess) launch() error {
	path, err := resolve(os.Args[0])
	if err != nil {
		return fmt.Errorf("start child: %w", err)
	}
	conn, theirs, err := control.Pair()
	if err != nil {
		return fmt.Errorf("start child: %w", err)
	}
	defer theirs.Close()
	c.conn = conn
	stderr, theirStderr, err := newStderrTail()
	if err != nil {
		return fmt.Errorf("start child: %w", err)
	}
	defer theirStderr.Close()
	if !c.keep(stderr) {
		return errors.New("start child: given up before it began")
	}

	env := append(os.Environ(), envControl+"=3")
	var pid int
	files := []*os.File{os.Stdin, os.Stdout, theirStderr, theirs}
	for retry := time.Now().Add(time.Second); ; time.Sleep(20 * time.Millisecond) {
		pid, err = spawn(path, os.Args, startedIn, env, files)
		if !errors.Is(err, syscall.ETXTBSY) || time.Now().After(retry) { // it is still being written
			break
		}
	}
	if err != nil {
		return fmt.Errorf("start child %s: %w", path, err)
	}
	proc, err := os.FindProcess(pid)
	if err != nil {
		return fmt.Errorf("start child %s: %w", path, err)
	}
	c.mu.Lock()
	c.pid, c.proc = pid, proc
	killed := c.killed
	c.mu.Unlock()
	if killed {
		_ = proc.Kill()
	}
	go c.wait()
	return nil
}

// keep remembers the child's standard error, and tells whether the child is still wanted.
func (c *childProcess) keep(stderr *stderrTail) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stderr = stderr
	return !c.killed
}

func resolve(arg0 string) (string, error) {
	if _, err := os.Stat(startedIn); err != nil {
		return "", fmt.Errorf("the working directory that the service was started in: %w", err)
	}
	path := arg0
	if filepath.Base(arg0) == arg0 {
		var err error
		if path, err = exec.LookPath(arg0); err != nil && !errors.Is(err, exec.ErrDot) { // it was started that way
			return "", err
		}
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(startedIn, path)
	}
	return exec.LookPath(path)
}

func (c *childProcess) wait() {
	state, err := c.proc.Wait()
	switch {
	case err != nil:
		c.status = err
	case state.Success():
		c.status = errors.New("exited with status 0")
	default:
		c.status = fmt.Errorf("exited: %w", &exec.ExitError{ProcessState: state})
	}
	close(c.exited)
	if c.processID() == c.proc.Pid { // and not that of a wrapper around it
		// What it said before it died is still to be read; a process that it left behind may hold the channel open.
		_ = c.conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	}
}

// introduce exchanges greetings and sends everything that the child may claim.
func (c *childProcess) introduce(generation int, entries []control.Entry, files []*os.File,
	state map[string][]byte) error {
	hello := control.Encode(control.Greeting{Generation: generation, PID: os.Getpid()})
	if err := c.conn.Send(control.Message{Kind: control.Hello, Payload: hello}); err != nil {
		return c.gone(err)
	}
	m, err := c.conn.Receive()
	if err != nil {
		return c.gone(err)
	}
	var greeting control.Greeting
	if m.Kind != control.Hello {
		return fmt.Errorf("did not greet: sent a frame of kind %d", m.Kind)
	}
	if err := control.Decode(m, &greeting); err != nil {
		return err
	}
	c.mu.Lock()
	c.pid = greeting.PID // of the server itself, where os.Args[0] is a wrapper
	c.mu.Unlock()
	if err := c.conn.SendFiles(entries, files); err != nil {
		return c.gone(err)
	}
	if err := c.sendState(state); err != nil {
		return c.gone(err)
	}
	return c.gone(c.conn.Send(control.Message{Kind: control.Complete}))
}

func (c *childProcess) sendState(state map[string][]byte) error {
	for name, blob := range state {
		if err := c.conn.SendState(name, blob); err != nil {
			return err
		}
	}
	return nil
}

// listen reports what the child says, until it has gone.
func (c *childProcess) listen(other func(*control.Conn, control.Message)) {
	for {
		m, err := c.conn.Receive()
		if err != nil {
			c.post(input{ev: evChildGone, child: c.number, cause: c.gone(err)})
			return
		}
		switch m.Kind {
		case control.Ready:
			if err := control.Decode(m, &c.claim); err != nil {
				c.post(input{ev: evChildRefused, child: c.number, cause: err})
				continue
			}
			c.post(input{ev: evChildReady, child: c.number})
		case control.Refused:
			var reason control.Reason
			_ = control.Decode(m, &reason)
			c.post(input{ev: evChildRefused, child: c.number, cause: fmt.Errorf("refused: %s", reason.Text)})
		case control.Committed:
			c.post(input{ev: evCommitted, child: c.number})
		default:
			other(c.conn, m)
		}
	}
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// gone says why the channel ended: how the child exited, if it did.
func (c *childProcess) gone(err error) error {
	if err == nil || !hungUp(err) && !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	select {
	case <-c.exited:
		return c.status
	case <-time.After(time.Second):
		return errors.New("hung up")
	}
}

// lastWords returns the last lines of the child's standard error, all of them if it exits within the given time.
func (c *childProcess) lastWords(within time.Duration) []string {
	c.mu.Lock()
	stderr, started := c.stderr, c.proc != nil
	c.mu.Unlock()
	if stderr == nil {
		return nil
	}
	if started {
		select {
		case <-c.exited:
			stderr.wait(200 * time.Millisecond)
		case <-time.After(within):
		}
	}
	return stderr.lines()
}

func (c *childProcess) processID() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pid
}

// kill ends the child at once, even one that is about to be started.
func (c *childProcess) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.killed = true
	if c.proc == nil {
		return
	}
	_ = c.proc.Kill()
	if c.pid != c.proc.Pid {
		if server, err := os.FindProcess(c.pid); err == nil {
			_ = server.Kill()
		}
	}
}

// dismiss tells a child that may hold connections to finish them, and kills it when it has had time enough.
func (c *childProcess) dismiss(reason string, patience time.Duration) {
	c.send(control.Message{Kind: control.Abort, Payload: control.Encode(control.Reason{Text: reason})})
	go func() {
		select {
		case <-c.exited:
		case <-time.After(patience):
			c.kill()
		}
	}()
}

// send writes a small frame; a child that has gone is found by listen.
func (c *childProcess) send(m control.Message) { _ = c.conn.Send(m) }

// close ends the channel. Whoever started the child calls it when there is nothing more to hear.
func (c *childProcess) close() {
	if c.conn != nil {
		c.conn.Close()
	}
}

// release closes the channels to older generations that this child did not come to need.
func (c *childProcess) release() {
	for _, s := range c.successors {
		s.conn.Close()
	}
	c.successors = nil
}

// introduce gives the older generation its channel to the child.
func (s successor) introduce(generation, pid int) {
	file, err := s.conn.File()
	if err != nil {
		return
	}
	defer file.Close()
	payload := control.Encode(control.Greeting{Generation: generation, PID: pid})
	_ = s.to.Send(control.Message{Kind: control.Successor, Payload: payload, Files: []*os.File{file}})
}

func (c *childProcess) started() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.proc != nil
}

func (c *childProcess) hasExited() bool {
	select {
	case <-c.exited:
		return true
	default:
		return !c.started()
	}
}
