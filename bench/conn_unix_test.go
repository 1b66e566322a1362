//go:build unix

package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/nettest"
	"golang.org/x/sys/unix"
)

// held is the server's side of a TCP connection that sends nothing until it is told.
type held struct {
	net.Conn
	out  bytes.Buffer
	hold bool
}

func (h *held) Write(p []byte) (int, error) {
	if h.hold {
		return h.out.Write(p)
	}
	return h.Conn.Write(p)
}

// release sends the next n bytes of what was held.
func (h *held) release(t *testing.T, n int) {
	t.Helper()
	h.Conn.SetWriteDeadline(time.Time{}) // tls.Conn.CloseWrite leaves one in the past
	if _, err := h.Conn.Write(h.out.Next(n)); err != nil {
		t.Fatal(err)
	}
}

// secured returns both sides of a TLS connection after the handshake.
func secured(t *testing.T) (*conn, *tls.Conn, *held) {
	t.Helper()
	type side struct {
		secure *tls.Conn
		wire   *held
	}
	sides := make(chan side, 1)
	s := serveEach(t, func(s *server, c net.Conn, _ int) {
		wire := &held{Conn: c}
		secure := tls.Server(wire, selfSigned(t))
		if err := secure.Handshake(); err != nil {
			t.Error(err)
		}
		sides <- side{secure, wire}
		<-s.quit
	})
	d := dialer{addr: s.addr(), tls: s.target(true).TLS}
	d.tls.ClientSessionCache = tls.NewLRUClientSessionCache(1) // or Go's server sends no tickets
	c, err := d.dial(context.Background(), time.Now().Add(ample))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.drop)
	far := <-sides
	return c, far.secure, far.wire
}

func TestAtRestTakesSessionTicketsForQuiet(t *testing.T) {
	c, far, _ := secured(t)
	awaitPoll(t, c, unix.POLLIN) // the tickets that end a server's handshake
	for range 3 {
		if err := c.atRest(); err != nil {
			t.Fatalf("at rest: %v", err)
		}
	}
	go io.WriteString(far, "answer")
	got := make([]byte, 6)
	if _, err := io.ReadFull(c.br, got); err != nil || string(got) != "answer" {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestAtRestLeavesHalfARecord(t *testing.T) {
	c, far, wire := secured(t)
	awaitPoll(t, c, unix.POLLIN)
	if err := c.atRest(); err != nil {
		t.Fatal(err)
	}
	wire.hold = true
	io.WriteString(far, "answer")
	for _, part := range []int{3, 7} {
		wire.release(t, part)
		awaitPoll(t, c, unix.POLLIN)
		if err := c.atRest(); err != nil {
			t.Fatalf("at rest with half a record: %v", err)
		}
	}
	wire.release(t, wire.out.Len())
	awaitPoll(t, c, unix.POLLIN)
	if err := c.atRest(); err != errSpoke {
		t.Fatalf("at rest with a record: %v", err)
	}
	got := make([]byte, 6)
	if _, err := io.ReadFull(c.br, got); err != nil || string(got) != "answer" {
		t.Errorf("read %q, %v", got, err)
	}
}

// The answer and close_notify come in one segment and the TCP connection stays open, so that nothing but TLS's own
// buffer knows of the close.
func TestAtRestFindsCloseNotifyInTheBuffer(t *testing.T) {
	c, far, wire := secured(t)
	wire.hold = true
	io.WriteString(far, "answer")
	far.CloseWrite()
	wire.release(t, wire.out.Len())
	got := make([]byte, 6)
	if _, err := io.ReadFull(c.br, got); err != nil || string(got) != "answer" {
		t.Fatalf("read %q, %v", got, err)
	}
	if err := c.atRest(); !errors.Is(err, io.EOF) {
		t.Errorf("at rest: %v, want EOF", err)
	}
}

func TestContextEndsWhatWaits(t *testing.T) {
	s := serveEach(t, func(s *server, c net.Conn, _ int) { <-s.quit })
	ctx, cancel := context.WithCancel(context.Background())
	deadline := time.Now().Add(ample)
	c, err := (&dialer{addr: s.addr()}).dial(ctx, deadline)
	if err != nil {
		t.Fatal(err)
	}
	defer c.drop()
	time.AfterFunc(time.Millisecond, cancel)
	if _, err := c.br.ReadByte(); !isTimeout(err) {
		t.Errorf("read: %v", err)
	}
	c.arm(deadline) // too late: the context has ended
	if _, err := c.br.ReadByte(); !isTimeout(err) {
		t.Errorf("read after arm: %v", err)
	}
	if !time.Now().Before(deadline) {
		t.Error("it waited for the deadline and not for the context")
	}
}

// TestConnectTimeout dials a listener whose accept queue is full, so that it answers no SYN.
func TestConnectTimeout(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: name.(*unix.SockaddrInet4).Port}
	for range 8 {
		c, err := net.DialTimeout("tcp", addr.String(), time.Second)
		if err != nil {
			break // full
		}
		defer c.Close()
	}
	_, err = (&dialer{addr: addr.String()}).dial(context.Background(), time.Now().Add(brief))
	var loss *lossError
	if want := (Failure{ConnectTimeout, "timeout"}); !errors.As(err, &loss) || loss.Failure != want {
		t.Errorf("dial: %v, want %v", err, want)
	}
}

func TestPollConnIsANetConn(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, nil, nil, err
		}
		defer ln.Close()
		near, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			return nil, nil, nil, err
		}
		far, err := ln.Accept()
		if err != nil {
			return nil, nil, nil, err
		}
		raw, err := near.(syscall.Conn).SyscallConn()
		if err != nil {
			return nil, nil, nil, err
		}
		return &pollConn{Conn: near, raw: raw}, far, func() { near.Close(); far.Close() }, nil
	})
}
