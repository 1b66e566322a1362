package upgrader

import (
	"bytes"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// Until a child has taken over, its standard error is a pipe that the parent reads: what it says reaches the service's
// own standard error, and its last lines tell why an upgrade failed. Then the child puts the real one in place. It also
// holds the pipe's read end, so that a parent that is killed does not end it by SIGPIPE.

// stderrTail copies a child's standard error and remembers its end.
type stderrTail struct {
	reading sync.Mutex
	read    *os.File // nil once nobody writes any more

	done chan struct{}

	mu   sync.Mutex
	last []byte
}

const (
	tailBytes = 8 << 10
	tailLines = 40
)

// newStderrTail returns the tail and the file to give to the child, which the caller closes.
func newStderrTail() (*stderrTail, *os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	t := &stderrTail{read: r, done: make(chan struct{})}
	go func() {
		defer close(t.done)
		_, _ = io.Copy(t, r) // ends when every process that has the pipe has gone
		t.reading.Lock()
		defer t.reading.Unlock()
		t.read = nil
		r.Close()
	}()
	return t, w, nil
}

// use calls fn with the pipe's read end. It does not where the child has gone already: whoever sends to it finds out why.
func (t *stderrTail) use(fn func(*os.File)) {
	t.reading.Lock()
	defer t.reading.Unlock()
	if t.read != nil {
		fn(t.read)
	}
}

func (t *stderrTail) Write(b []byte) (int, error) {
	_, _ = os.Stderr.Write(b)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = append(t.last, b...)
	if len(t.last) > tailBytes {
		t.last = append([]byte(nil), t.last[len(t.last)-tailBytes:]...)
	}
	return len(b), nil
}

func (t *stderrTail) wait(d time.Duration) {
	select {
	case <-t.done:
	case <-time.After(d):
	}
}

func (t *stderrTail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.TrimSpace(string(bytes.ToValidUTF8(t.last, []byte("?"))))
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	return lines[max(0, len(lines)-tailLines):]
}

// restoreStderr puts the service's standard error in the place of the pipe to the parent, and copies what the pipe
// still holds or gets from processes that this one has started.
func (in *inheritance) restoreStderr() error {
	if in.stderr == nil {
		return nil
	}
	defer func() {
		in.stderr.Close()
		in.stderr = nil
	}()
	if err := replaceStderr(in.stderr); err != nil {
		return err
	}
	if pipe := in.stderrPipe; pipe != nil {
		go func() {
			_, _ = io.Copy(os.Stderr, pipe)
			pipe.Close()
		}()
	}
	return nil
}
