//go:build unix

package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestClientsOwnLimits: what this machine ran out of is never the server's loss, in whatever phase it happens.
func TestClientsOwnLimits(t *testing.T) {
	for errno, want := range map[syscall.Errno]Failure{
		unix.EMFILE:        {ClientFiles, "EMFILE"},
		unix.ENFILE:        {ClientFiles, "ENFILE"},
		unix.EADDRNOTAVAIL: {ClientPorts, "EADDRNOTAVAIL"},
		unix.ENOBUFS:       {ClientMemory, "ENOBUFS"},
		unix.ENOMEM:        {ClientMemory, "ENOMEM"},
	} {
		for p := phaseConnect; p <= phaseRead; p++ {
			err := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", errno)}
			if got := classify(p, err); got.Failure != want || got.Class.Lost() || !got.Class.ClientsOwn() {
				t.Errorf("phase %d, %v: %v, want %v", p, errno, got.Failure, want)
			}
		}
	}
}

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		phase phase
		err   error
		want  Failure
	}{
		{phaseConnect, unix.ECONNREFUSED, Failure{ConnectRefused, "ECONNREFUSED"}},
		{phaseConnect, unix.ECONNRESET, Failure{ResetBeforeResponse, "ECONNRESET"}},
		{phaseConnect, unix.ETIMEDOUT, Failure{ConnectTimeout, "ETIMEDOUT"}},
		{phaseConnect, unix.EHOSTUNREACH, Failure{ConnectFailed, "EHOSTUNREACH"}},
		{phaseConnect, os.ErrDeadlineExceeded, Failure{ConnectTimeout, "timeout"}},
		{phaseHandshake, unix.ECONNRESET, Failure{HandshakeFailed, "ECONNRESET"}},
		{phaseHandshake, io.EOF, Failure{HandshakeFailed, "EOF"}},
		{phaseWrite, unix.EPIPE, Failure{WriteFailed, "EPIPE"}},
		{phaseWrite, os.ErrDeadlineExceeded, Failure{ResponseTimeout, "timeout"}},
		{phaseAwait, unix.EPIPE, Failure{ResetBeforeResponse, "EPIPE"}},
		{phaseAwait, unix.ETIMEDOUT, Failure{ResponseTimeout, "ETIMEDOUT"}},
		{phaseAwait, io.ErrUnexpectedEOF, Failure{EOFBeforeResponse, "EOF"}},
		{phaseRead, io.ErrUnexpectedEOF, Failure{EOFMidResponse, "EOF"}},
		{phaseRead, unix.ECONNRESET, Failure{ResetMidResponse, "ECONNRESET"}},
		{phaseRead, errors.New("malformed HTTP response"), Failure{Class: WrongBytes}},
		{phaseRead, syscall.Errno(4095), Failure{ResetMidResponse, "errno 4095"}},
	} {
		got := classify(c.phase, fmt.Errorf("wrapped: %w", c.err))
		if got.Failure != c.want {
			t.Errorf("phase %d, %v: %v, want %v", c.phase, c.err, got.Failure, c.want)
		}
		if !errors.Is(got, c.err) {
			t.Errorf("%v does not unwrap to %v", got, c.err)
		}
	}
}

// TestOutOfFiles runs a client that may open no further file, in a process of its own.
func TestOutOfFiles(t *testing.T) {
	s := serveEcho(t, func(_ *server, c net.Conn, _ int64, p []byte) bool { c.Write(p); return true })
	out, err := runHelper("out of files", s.addr()).CombinedOutput()
	if want := "client out of files (EMFILE)"; err != nil || string(out) != want {
		t.Errorf("%s, %v; want %s", out, err, want)
	}
}

func init() {
	helpers["out of files"] = func() error {
		lane := NewTCP(os.Args[1]).(newTCP)
		lane.dialer = dialer{addr: os.Args[1]}
		if r := lane.Client(context.Background(), 0).Do(1, time.Now().Add(ample)); r.Err != nil {
			return r.Err // now that the poller has its files, only the socket's is missing
		}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: 3}); err != nil {
			return err
		}
		r := lane.Client(context.Background(), 0).Do(2, time.Now().Add(ample))
		_, err := fmt.Print(r.Failure)
		return err
	}
}
