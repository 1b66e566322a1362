package relay

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A channel is one end of a SOCK_SEQPACKET pair over which States go.
type channel struct{ c *net.UnixConn }

func newChannel(f *os.File) (channel, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return channel{}, err
	}
	return channel{c.(*net.UnixConn)}, nil
}

// send sends st and closes its files.
func (ch channel) send(st State) error {
	var fds []int
	for _, f := range st.Files {
		fd, err := dup(f)
		if err != nil {
			return err
		}
		fds = append(fds, fd)
	}
	_, _, err := ch.c.WriteMsgUnix(st.Blob, unix.UnixRights(fds...), nil)
	closeAll(fds)
	return errors.Join(err, st.Close())
}

func (ch channel) receive() (State, error) {
	blob, oob := make([]byte, 128<<10), make([]byte, 256)
	n, oobn, flags, _, err := ch.c.ReadMsgUnix(blob, oob) // sets MSG_CMSG_CLOEXEC
	if err != nil {
		return State{}, err
	}
	if flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		return State{}, errors.New("truncated")
	}
	st := State{Blob: blob[:n]}
	msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return st, err
	}
	for _, m := range msgs {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			return st, err
		}
		for _, fd := range fds {
			st.Files = append(st.Files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return st, nil
}

// stay runs a relay for a short while and returns what it is after that.
func stay(e *Engine, st State, cfg Config, i int) (State, error) {
	r, err := e.Import(st, cfg)
	if err != nil {
		return State{}, err
	}
	time.Sleep(time.Duration(i%5) * time.Millisecond)
	return r.Export()
}

func init() { helpers["bounce"] = bounce }

// bounce is the other process: it runs each relay that it gets for some milliseconds and sends it back.
func bounce() error {
	ch, err := newChannel(os.NewFile(3, "channel"))
	if err != nil {
		return err
	}
	e, err := New(Options{})
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		st, err := ch.receive()
		if errors.Is(err, io.EOF) {
			return e.Close()
		}
		if err != nil {
			return err
		}
		if st, err = stay(e, st, Config{}, i); err != nil {
			return err
		}
		if err := ch.send(st); err != nil {
			return err
		}
	}
}

func startBounce(t *testing.T) channel {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	defer theirs.Close()
	ch, err := newChannel(ours)
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "RELAY_TEST_HELPER=bounce")
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ch.c.Close()
		stuck := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
		defer stuck.Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the other process: %v", err)
		}
	})
	return ch
}

// One relay between two processes, a few milliseconds in each, while 384 MiB pass through it both ways.
func TestMovesBetweenProcesses(t *testing.T) {
	checkFDs(t)
	ch := startBounce(t)
	e := openEngine(t)
	cfg, end := bound()
	client, server, r := start(t, e, cfg)

	const size, moves = 192 << 20, 100
	var moved atomic.Int32
	w := shape{chunk: 200_000}
	stalls := shape{chunk: 200_000, every: 16 << 20, pause: 10 * time.Millisecond}
	// Whichever comes later ends a stream: its size, or enough moves.
	more := func(written int64) int64 {
		if left := size - written; left > 0 {
			return left
		}
		if moved.Load() < moves {
			return 1000
		}
		return 0
	}
	up := transfer(client, server, 8, w, stalls, more)
	down := transfer(server, client, 9, w, stalls, more)

	st, err := r.Export()
	for i := 0; err == nil; i++ {
		if err = ch.send(st); err != nil {
			break
		}
		if st, err = ch.receive(); err != nil {
			break
		}
		moved.Add(1)
		if len(up)+len(down) == 2 || int(moved.Load()) >= moves && written(st) >= 2*size {
			_, err = e.Import(st, cfg)
			break
		}
		st, err = stay(e, st, cfg, i)
	}
	if err != nil {
		t.Fatalf("after %d moves: %v", moved.Load(), err)
	}
	for name, done := range map[string]<-chan error{"up": up, "down": down} {
		if err := <-done; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	res := end(t)
	if res.Err != nil || res.Up < size || res.Down < size {
		t.Errorf("ended with %+v", res)
	}
	t.Logf("%d MiB in %d visits to the other process", (res.Up+res.Down)>>20, moved.Load())
	if moved.Load() < moves {
		t.Errorf("only %d visits", moved.Load())
	}
}

// written returns how many bytes the relay has moved.
func written(st State) uint64 {
	b, err := parseBlob(st.Blob)
	if err != nil {
		panic(fmt.Sprint("a State that Export made: ", err))
	}
	return b.flows[0].moved + b.flows[1].moved
}
