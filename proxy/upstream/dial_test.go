package upstream

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/proxy/config"
)

func TestDial(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	greet := func(conn net.Conn) { io.WriteString(conn, "hello") }
	tcp := listen(t, "tcp", "127.0.0.1:0", greet)
	listen(t, "unix", path, greet)
	p := begin(t, config.Upstream{Servers: []string{tcp.Addr().String(), "unix:" + path}}, Options{}, nil)
	for _, s := range p.servers {
		conn, err := p.Dial(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(conn); string(got) != "hello" || err != nil {
			t.Errorf("%s: %q %v", s.Address(), got, err)
		}
		conn.Close()
	}
}

func TestDialErrors(t *testing.T) {
	address := closed(t)
	p := begin(t, config.Upstream{Servers: []string{address}}, Options{}, nil)
	_, err := p.Dial(t.Context(), p.servers[0])
	var op *net.OpError
	if !errors.Is(err, syscall.ECONNREFUSED) || !errors.As(err, &op) {
		t.Fatal(err)
	}
	want := "upstream app: server " + address + ": dial tcp " + address + ": connect: connection refused"
	if err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}

	l := pick(t, p)
	l.Failed(err)
	l.Release()
	if got, want := p.Status()[0].LastError, "dial tcp "+address+": connect: connection refused"; got != want {
		t.Errorf("last error %q, want %q", got, want) // upstream and server stand beside it
	}
}

func TestDialTimeout(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0", func(net.Conn) {})
	p := begin(t, config.Upstream{Servers: []string{ln.Addr().String()}, ConnectTimeout: time.Nanosecond}, Options{}, nil)
	_, err := p.Dial(t.Context(), p.servers[0])
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatal(err)
	}
	wantError(t, err, "upstream app: server "+ln.Addr().String()+": no connection within 1ns (connect_timeout): dial tcp")

	// The caller's own deadline is not connect_timeout.
	p = begin(t, config.Upstream{Servers: []string{ln.Addr().String()}}, Options{}, nil)
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if _, err = p.Dial(ctx, p.servers[0]); err == nil || err.(*dialError).within != 0 {
		t.Errorf("%v", err)
	}
}

func TestCancelledDialIsNoFailure(t *testing.T) {
	p := begin(t, config.Upstream{Servers: []string{closed(t)}}, Options{}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := p.Dial(ctx, p.servers[0])
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	l := pick(t, p)
	l.Failed(err)
	l.Release()
	if s := p.Status()[0]; s.Failures != 0 || s.LastError != "" {
		t.Errorf("%+v", s)
	}
}
