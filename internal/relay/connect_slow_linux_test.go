package relay

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A stuckServer has its accept queue full: the kernel answers no further client until somebody accepts.
type stuckServer struct {
	*net.TCPListener
	queued []net.Conn
}

func newStuckServer(t testing.TB) *stuckServer {
	t.Helper()
	ln := listen(t, "tcp4", "127.0.0.1:0").(*net.TCPListener)
	raw, err := ln.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) { err = unix.Listen(int(fd), 0) })
	if err != nil {
		t.Fatal(err)
	}
	s := &stuckServer{TCPListener: ln}
	for { // until one is not answered
		c, err := net.DialTimeout("tcp", ln.Addr().String(), 200*time.Millisecond)
		if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() {
			return s
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		s.queued = append(s.queued, c)
	}
}

// free makes room in the queue. The kernel tries the others again within a second or so.
func (s *stuckServer) free(t testing.TB) {
	t.Helper()
	for range s.queued {
		acceptOne(t, s).Close()
	}
}

// slow connects to s, which does not answer yet.
func slow(t testing.TB, e *Engine, s *stuckServer, cfg Config) (*net.TCPConn, *Relay) {
	t.Helper()
	client, fd := bare(t)
	to := targetOf(s)
	to.Timeout, to.OnFail = patience, wellOnly(t)
	r, err := e.Connect(fd, to, cfg)
	if err != nil {
		t.Fatal(err)
	}
	e.Relays() // the loops have been round
	if !r.Connecting() {
		t.Fatal("the server has answered")
	}
	return client, r
}

func TestConnectTimeout(t *testing.T) {
	e := newEngine(t)
	s := newStuckServer(t)
	for range 3 { // the first wakes its loop, which the others find ticking
		client, fd := bare(t)
		client.Write([]byte("x"))
		to := targetOf(s)
		onFail, failed := failing()
		to.Timeout, to.OnFail = 300*time.Millisecond, onFail
		begin := time.Now()
		if _, err := e.Connect(fd, to, Config{IdleTimeout: time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		f := failed(t)
		timeout, ok := errors.AsType[net.Error](f.err)
		if !errors.Is(f.err, os.ErrDeadlineExceeded) || !ok || !timeout.Timeout() {
			t.Error(f.err)
		}
		if d := time.Since(begin); d < to.Timeout || d > 20*to.Timeout {
			t.Errorf("after %v", d)
		}
		if n, err := unix.Read(f.client, make([]byte, 2)); n != 1 || err != nil {
			t.Errorf("read %d bytes of the client, %v", n, err)
		}
		unix.Close(f.client)
	}
}

// What the client does before there is a server is seen by the server, and bytes stay in the kernel till then.
func TestClientsThatDoNotWait(t *testing.T) {
	e := newEngine(t)
	for name, c := range map[string]struct {
		leave func(*net.TCPConn)
		reset bool
	}{
		"end of stream": {func(c *net.TCPConn) { c.Close() }, false},
		"reset":         {func(c *net.TCPConn) { c.SetLinger(0); c.Close() }, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStuckServer(t)
			cfg, end := bound()
			client, r := slow(t, e, s, cfg)
			client.Write([]byte("last words"))
			c.leave(client)
			e.Relays()
			if !r.Connecting() {
				t.Error("does not wait for the server")
			}
			s.free(t)
			server := acceptOne(t, s)
			b, err := io.ReadAll(server)
			if string(b) != "last words" || c.reset != isReset(err) {
				t.Errorf("the server read %q, %v", b, err)
			}
			server.Close()
			if res := end(t); c.reset != isReset(res.Err) {
				t.Errorf("ended with %+v", res)
			}
		})
	}
}

func TestExportWaitsForTheServer(t *testing.T) {
	a, b := newEngines(t)
	s := newStuckServer(t)
	client, r := slow(t, a, s, Config{OnEnd: func(Result) { t.Error("OnEnd was called") }})
	client.Write([]byte("hello"))
	type exported struct {
		st  State
		err error
	}
	done := make(chan exported, 1)
	go func() {
		st, err := r.Export()
		done <- exported{st, err}
	}()
	a.Relays()
	select {
	case got := <-done:
		t.Fatalf("exported while it connects: %v", got.err)
	default:
	}
	s.free(t)
	server := acceptOne(t, s)
	got := <-done
	if got.err != nil {
		t.Fatal(got.err)
	}
	cfg, end := bound()
	if _, err := b.Import(got.st, cfg); err != nil {
		t.Fatal(err)
	}
	client.CloseWrite()
	if b, err := io.ReadAll(server); string(b) != "hello" || err != nil {
		t.Errorf("read %q, %v", b, err)
	}
	server.Close()
	if res := end(t); res.Err != nil || res.Up != 5 {
		t.Errorf("ended with %+v", res)
	}
}

// Abort and Close end what connects, and an Export that waits for it.
func TestEndsWhileItConnects(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(*Engine, *Relay)
		want []error
	}{
		"abort": {func(_ *Engine, r *Relay) { r.Abort() }, []error{ErrEnded}},
		"close": {func(e *Engine, _ *Relay) { e.Close() }, []error{ErrEnded, ErrClosed}},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t)
			s := newStuckServer(t)
			cfg, end := bound()
			client, r := slow(t, e, s, cfg)
			exported := make(chan error, 1)
			go func() {
				_, err := r.Export()
				exported <- err
			}()
			c.end(e, r)
			if res := end(t); res.Err != ErrAborted {
				t.Errorf("ended with %+v", res)
			}
			if err := <-exported; !errors.Is(errors.Join(c.want...), err) {
				t.Errorf("Export: %v", err)
			}
			if _, err := client.Read(make([]byte, 1)); !isReset(err) {
				t.Errorf("the client sees %v", err)
			}
		})
	}
}
