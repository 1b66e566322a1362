//go:build unix

package control

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

const helperVar = "CONTROL_TEST_HELPER"

// helpers are what the test binary does when it is started again under one of these names.
var helpers = map[string]func() int{"wait": waitForDeath}

func TestMain(m *testing.M) {
	if help := helpers[os.Getenv(helperVar)]; help != nil {
		os.Exit(help())
	}
	goleak.VerifyTestMain(m)
}

// waitForDeath says hello first.
func waitForDeath() int {
	c, err := New(os.NewFile(3, "control"))
	if err == nil {
		err = c.Send(Message{Kind: Hello, Payload: Encode(Greeting{PID: os.Getpid()})})
	}
	for err == nil {
		time.Sleep(time.Hour)
	}
	return 1
}

// helper starts the test binary again with one end of the channel. The caller waits for it.
func helper(t *testing.T, name string, end *os.File) *exec.Cmd {
	t.Helper()
	return helperTo(t, name, end, nil)
}

func helperTo(t *testing.T, name string, end *os.File, stdout io.Writer) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperVar+"="+name, "GORACE=atexit_sleep_ms=0")
	cmd.ExtraFiles = []*os.File{end}
	cmd.Stdout, cmd.Stderr = stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end.Close()
	return cmd
}

// forSockets runs a test on each type of socket that this system has: on Linux also on the one that macOS needs.
func forSockets(t *testing.T, test func(t *testing.T, typ int)) {
	t.Helper()
	t.Run("stream", func(t *testing.T) {
		noFdLeft(t)
		test(t, unix.SOCK_STREAM)
	})
	if socketType() == unix.SOCK_SEQPACKET {
		t.Run("seqpacket", func(t *testing.T) {
			noFdLeft(t)
			test(t, unix.SOCK_SEQPACKET)
		})
	}
}

// rawPair returns a channel whose other end is no Conn yet. The caller closes that one.
func rawPair(t *testing.T, typ int) (*Conn, *os.File) {
	t.Helper()
	c, f, err := pair(typ)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, f
}

func ends(t *testing.T, typ int) (a, b *Conn) {
	t.Helper()
	a, f := rawPair(t, typ)
	b, err := New(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return a, b
}

func send(t *testing.T, c *Conn, m Message) {
	t.Helper()
	if err := c.Send(m); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, c *Conn) Message {
	t.Helper()
	m, err := c.Receive()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// noFdLeft fails the test if more fds are open at its end, after its other cleanups, than now.
func noFdLeft(t *testing.T) {
	t.Helper()
	r, w, err := os.Pipe() // the runtime's poller opens its own fds with the first of these
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	w.Close()
	before := openFds(t)
	t.Cleanup(func() {
		if after := openFds(t); after != before {
			t.Errorf("%d fds open, %d before the test", after, before)
		}
	})
}

func openFds(t *testing.T) int {
	t.Helper()
	n, err := countFds()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func countFds() (int, error) {
	entries, err := os.ReadDir("/proc/self/fd")
	if errors.Is(err, os.ErrNotExist) && runtime.GOOS != "linux" {
		return 0, nil
	}
	return len(entries), err
}
