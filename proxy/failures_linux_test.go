package proxy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/proxy/metrics"
)

// serverThat answers each connection with fn, which closes it.
func serverThat(fn func(c *net.TCPConn)) func(t *testing.T) string {
	return func(t *testing.T) string {
		t.Helper()
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				fn(c.(*net.TCPConn))
			}
		}()
		return ln.Addr().String()
	}
}

// hear reads what the client has sent, so that closing resets nothing.
func hear(c *net.TCPConn) { _, _ = io.ReadFull(c, make([]byte, len("question"))) }

func resets(c *net.TCPConn) {
	_ = c.SetLinger(0)
	c.Close()
}

// nobody is an address where no connection is accepted.
func nobody(t *testing.T) string { return "127.0.0.1:" + freePort(t) }

// slow is an address where the kernel's queue is full, so that connections take for ever.
func slow(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for range 16 {
		c, err := net.DialTimeout("tcp", address, 100*time.Millisecond)
		if err != nil {
			return address
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("the queue does not fill")
	return ""
}

// A server that does not answer as it should: what the client sees, and what the operator reads.
func TestServerFails(t *testing.T) {
	t.Parallel()
	half := strings.Repeat("half", 256)
	say := func(c *net.TCPConn) { hear(c); _, _ = io.WriteString(c, half) }
	for _, c := range []struct {
		name   string
		server func(*testing.T) string
		class  string // in the log and the metric; empty where nothing has failed
		answer string // that the client must get; the beginning of it is enough where it is reset
		clean  bool   // it sees the end of the stream, and no reset
		second bool   // another server is tried
	}{
		{"refuses", nobody, "connect_refused", "", false, true},
		{"is slow to connect", slow, "connect_timeout", "", false, true},
		{"resets at once", serverThat(resets), "reset", "", false, false},
		{"resets when asked", serverThat(func(c *net.TCPConn) { hear(c); resets(c) }), "reset", "", false, false},
		{"sends half and resets", serverThat(func(c *net.TCPConn) { say(c); resets(c) }), "reset", half, false, false},
		{"sends half and ends", serverThat(func(c *net.TCPConn) { say(c); c.Close() }), "", half, true, false},
		{"closes at once", serverThat(func(c *net.TCPConn) { hear(c); c.Close() }), "", "", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newProcess(t)
			bad, good := c.server(t), newEchoServer(t).Addr().String()
			p.run(p.head("log: {access: 1}", quick) + fmt.Sprintf(`
listeners:
  - {name: alone, address: "%s", protocol: tcp, upstream: alone}
  - {name: pair, address: "%s", protocol: tcp, upstream: pair}
upstreams:
  alone: {servers: ["%s"], connect_timeout: 300ms, ejection: {failures: 0}}
  pair: {servers: ["%[3]s", "%s"], connect_timeout: 300ms, ejection: {failures: 0}}
`, p.address(portTCP), p.address(portExtra), bad, good))

			begin := time.Now()
			got, err := ask(p.address(portTCP), "question")
			if c.clean && (err != nil || got != c.answer) || !c.clean && !isReset(err) || !strings.HasPrefix(c.answer, got) {
				t.Errorf("the client got %d bytes and %v", len(got), err)
			}
			if took := time.Since(begin); took > 3*time.Second {
				t.Errorf("it took %v", took)
			}
			access := []string{"access", "listener=alone", "upstream=alone", "server=" + bad}
			if c.class != "" {
				access = append(access, "error="+c.class)
			}
			p.says(access...)
			if c.second {
				p.says("connection refused", "listener=alone", "server="+bad, "class="+c.class)
			}
			failed := 0.0
			if c.class != "" {
				failed = 1
				if c.second { // a client who has said nothing must not take it for an answer
					failed = 2
					if got, err := ask(p.address(portTCP), ""); !isReset(err) {
						t.Errorf("a client who listens got %d bytes and %v", len(got), err)
					}
				}
				if n := p.failures("alone", c.class); n != failed {
					t.Errorf("%v failures of class %s are counted", n, c.class)
				}
			}
			if n := p.metric(metrics.ErrorsTotal); n != failed {
				t.Errorf("%v failures are counted", n)
			}
			if !c.second {
				return
			}
			for range 2 { // one of them is sent to the bad one first
				p.must(echoedToTheEnd(p.dial(portExtra)))
			}
			p.says("access", "listener=pair", "server="+good, "retries=1")
			if n := p.metric(metrics.RetriesTotal, `"pair"`); n != 1 {
				t.Errorf("%v retries", n)
			}
		})
	}
}

// ask sends a question, and returns all that comes back, and how it ended. A reset may come before anything else.
func ask(address, question string) (string, error) {
	c, err := dial(address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := io.WriteString(c, question); err != nil {
		return "", err
	}
	got, err := io.ReadAll(c)
	return string(got), err
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) && !errors.Is(err, os.ErrDeadlineExceeded)
}
