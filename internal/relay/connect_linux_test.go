package relay

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const patience = 10 * time.Second

// bare returns a client and its connection's other end as a descriptor.
func bare(t testing.TB) (client *net.TCPConn, fd int) {
	t.Helper()
	client, far := dial(t)
	client.SetDeadline(time.Now().Add(patience))
	fd, err := takeConn(far)
	if err != nil {
		t.Fatal(err)
	}
	return client, fd
}

// A failure is what OnFail got.
type failure struct {
	client int
	err    error
}

// failing returns an OnFail, and what it gets.
func failing() (func(int, error), func(testing.TB) failure) {
	failed := make(chan failure, 1)
	return func(client int, err error) { failed <- failure{client, err} }, func(t testing.TB) failure {
		t.Helper()
		select {
		case f := <-failed:
			return f
		case <-time.After(patience):
			t.Fatal("OnFail is not called")
			return failure{}
		}
	}
}

func wellOnly(t testing.TB) func(int, error) {
	return func(client int, err error) {
		t.Errorf("not connected: %v", err)
		Reset(client)
	}
}

func listen(t testing.TB, network, address string) net.Listener {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Skip(err) // IPv6, say
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

func targetOf(ln net.Listener) Target {
	if a, ok := ln.Addr().(*net.TCPAddr); ok {
		return Target{Addr: a.AddrPort()}
	}
	return Target{Path: ln.Addr().String()}
}

// acceptOne returns the next connection of ln.
func acceptOne(t testing.TB, ln net.Listener) conn {
	t.Helper()
	ln.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Now().Add(patience))
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c.(conn)
}

func TestConnectRelays(t *testing.T) {
	for name, at := range map[string][2]string{
		"IPv4":          {"tcp4", "127.0.0.1:0"},
		"IPv6":          {"tcp6", "[::1]:0"},
		"Unix":          {"unix", filepath.Join(t.TempDir(), "s")},
		"abstract Unix": {"unix", "@baton-relay-test-" + filepath.Base(t.TempDir())},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t)
			ln := listen(t, at[0], at[1])
			client, fd := bare(t)
			client.Write([]byte("early,"))
			to := targetOf(ln)
			to.First, to.Timeout, to.OnFail = []byte("first,"), patience, wellOnly(t)
			to.KeepAlive = net.KeepAliveConfig{Enable: true}
			cfg, end := bound()
			r, err := e.Connect(fd, to, cfg)
			if err != nil {
				t.Fatal(err)
			}
			if e.Len() != 1 || len(e.Relays()) != 1 {
				t.Errorf("%d, %d relays", e.Len(), len(e.Relays()))
			}
			server := acceptOne(t, ln)
			client.Write([]byte("late"))
			client.CloseWrite()
			if b, err := io.ReadAll(server); string(b) != "first,early,late" || err != nil {
				t.Errorf("the server read %q, %v", b, err)
			}
			if r.Connecting() {
				t.Error("still connects")
			}
			io.WriteString(server, "answer")
			server.Close()
			if b, err := io.ReadAll(client); string(b) != "answer" || err != nil {
				t.Errorf("the client read %q, %v", b, err)
			}
			if res := end(t); res.Err != nil || res.Up != uint64(len("early,late")) || res.Down != uint64(len("answer")) {
				t.Errorf("ended with %+v", res)
			}
		})
	}
}

// The kernel does for the server's socket what Go's dialer would have it do.
func TestConnectSetsOptions(t *testing.T) {
	ln := listen(t, "tcp4", "127.0.0.1:0")
	to := targetOf(ln)
	to.KeepAlive = net.KeepAliveConfig{Enable: true, Idle: 90 * time.Second, Count: -1}
	fd, err := to.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	acceptOne(t, ln)
	for _, o := range []struct{ level, name, want int }{
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 90},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15},
	} {
		if got, err := unix.GetsockoptInt(fd, o.level, o.name); got != o.want || err != nil {
			t.Errorf("option %d, %d is %d, %v; want %d", o.level, o.name, got, err, o.want)
		}
	}
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); flags&unix.FD_CLOEXEC == 0 || err != nil {
		t.Errorf("flags %#x, %v", flags, err)
	}
}

// closedPort returns an address at which nobody listens.
func closedPort(t testing.TB) netip.AddrPort {
	ln := listen(t, "tcp4", "127.0.0.1:0")
	defer ln.Close()
	return targetOf(ln).Addr
}

// Whoever has no luck with one server tries another, and nothing that the client has said or done is lost.
func TestAfterAFailureTheNextServerIsTried(t *testing.T) {
	e := newEngine(t)
	ln := listen(t, "tcp4", "127.0.0.1:0")
	client, fd := bare(t)
	client.Write([]byte("hello"))
	client.CloseWrite()
	onFail, failed := failing()
	if _, err := e.Connect(fd, Target{Addr: closedPort(t), OnFail: onFail}, Config{OnEnd: func(Result) {
		t.Error("OnEnd was called, too")
	}}); err != nil {
		t.Fatal(err)
	}
	f := failed(t)
	var op *net.OpError
	if !errors.Is(f.err, syscall.ECONNREFUSED) || !errors.As(f.err, &op) || op.Op != "dial" || f.client != fd {
		t.Errorf("OnFail(%d, %v), want descriptor %d", f.client, f.err, fd)
	}
	if !strings.Contains(f.err.Error(), "connect: connection refused") {
		t.Error(f.err)
	}
	to := targetOf(ln)
	to.OnFail = wellOnly(t)
	cfg, end := bound()
	if _, err := e.Connect(f.client, to, cfg); err != nil {
		t.Fatal(err)
	}
	server := acceptOne(t, ln)
	if b, err := io.ReadAll(server); string(b) != "hello" || err != nil {
		t.Errorf("read %q, %v", b, err)
	}
	server.Close()
	if res := end(t); res.Err != nil {
		t.Error(res.Err)
	}
}

// The engine does not look idle between a failure and what its owner does about it.
func TestAFailureCountsUntilItIsDealtWith(t *testing.T) {
	e := newEngine(t)
	client, fd := bare(t)
	counted, over := make(chan int), make(chan struct{})
	if _, err := e.Connect(fd, Target{Addr: closedPort(t), OnFail: func(client int, _ error) {
		counted <- e.Len()
		<-over
		Reset(client)
	}}, Config{}); err != nil {
		t.Fatal(err)
	}
	if n := <-counted; n != 1 {
		t.Errorf("%d relays while OnFail runs", n)
	}
	close(over)
	if _, err := client.Read(make([]byte, 1)); !isReset(err) {
		t.Errorf("the client sees %v", err)
	}
	e.Close()
	if e.Len() != 0 {
		t.Errorf("%d relays left", e.Len())
	}
}

func TestWhatFailsAtOnce(t *testing.T) {
	e := newEngine(t)
	ln := listen(t, "tcp4", "127.0.0.1:0")
	long := targetOf(ln)
	long.First = make([]byte, maxStash+1)
	for name, c := range map[string]struct {
		to   Target
		want error
	}{
		"no such path":  {Target{Path: filepath.Join(t.TempDir(), "none")}, syscall.ENOENT},
		"long path":     {Target{Path: strings.Repeat("x", 200)}, nil},
		"unreachable":   {Target{Addr: netip.MustParseAddrPort("255.255.255.255:1")}, syscall.ENETUNREACH},
		"no such zone":  {Target{Addr: netip.MustParseAddrPort("[fe80::1%no-such-if]:1")}, nil},
		"nowhere":       {Target{}, nil},
		"too much":      {long, nil},
		"no descriptor": {targetOf(ln), syscall.EMFILE},
	} {
		t.Run(name, func(t *testing.T) {
			client, fd := bare(t)
			onFail, failed := failing()
			c.to.OnFail = onFail
			if name == "no descriptor" {
				noDescriptors(t)
			}
			_, err := e.Connect(fd, c.to, Config{OnEnd: func(Result) { t.Error("OnEnd was called") }})
			if err == nil {
				t.Log("not at once")
				f := failed(t)
				fd, err = f.client, f.err
			}
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			t.Log(err)
			if e.Len() != 0 {
				t.Errorf("%d relays", e.Len())
			}
			client.Write([]byte("x"))
			if _, err := unix.Read(fd, make([]byte, 1)); err != nil {
				t.Errorf("the client is not the caller's any more: %v", err)
			}
			unix.Close(fd)
		})
	}
}

// noDescriptors has no more files opened for the rest of the test.
func noDescriptors(t testing.TB) {
	t.Helper()
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	highest := 0
	for _, open := range openFDs() {
		number, _, _ := strings.Cut(open, " ")
		n, _ := strconv.Atoi(number)
		highest = max(highest, n)
	}
	for fd := 0; fd <= highest; { // so that there is no gap
		var err error
		if fd, err = unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		highest = max(highest, fd-1)
	}
	t.Cleanup(func() { unix.Setrlimit(unix.RLIMIT_NOFILE, &was) })
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(highest + 2), Max: was.Max}); err != nil {
		t.Fatal(err)
	}
}

func TestAClosedEngineConnectsNothing(t *testing.T) {
	e := newEngine(t)
	ln := listen(t, "tcp4", "127.0.0.1:0")
	client, fd := bare(t)
	e.Close()
	if _, err := e.Connect(fd, targetOf(ln), Config{}); err != ErrClosed {
		t.Error(err)
	}
	Reset(fd)
	if _, err := client.Read(make([]byte, 1)); !isReset(err) {
		t.Errorf("the client sees %v", err)
	}
}

func TestThousandsConnectAtOnce(t *testing.T) {
	e := newEngine(t)
	const n = 2000
	ln := listen(t, "tcp4", "127.0.0.1:0")
	echo := openEngine(t)
	go accept(ln, func(c *net.TCPConn) {
		if _, err := echo.Echo(c, Config{}); err != nil {
			t.Error(err)
		}
	})
	var clients []*net.TCPConn
	var fds []int
	for range n {
		client, fd := bare(t)
		client.SetDeadline(time.Now().Add(3 * patience))
		clients, fds = append(clients, client), append(fds, fd)
	}
	to := targetOf(ln)
	to.Timeout, to.OnFail = 3*patience, wellOnly(t)
	ended := make(chan Result, n)
	for i, fd := range fds {
		to.First = []byte{byte(i)}
		if _, err := e.Connect(fd, to, Config{IdleTimeout: time.Hour, OnEnd: func(r Result) { ended <- r }}); err != nil {
			t.Fatal(err)
		}
		clients[i].Write([]byte{byte(i >> 8)})
	}
	for i, c := range clients {
		var b [2]byte
		if _, err := io.ReadFull(c, b[:]); err != nil || b != [2]byte{byte(i), byte(i >> 8)} {
			t.Fatalf("client %d got %v, %v", i, b, err)
		}
		c.Close()
	}
	for range n {
		if r := <-ended; r.Err != nil || r.Up != 1 || r.Down != 2 {
			t.Fatalf("ended with %+v", r)
		}
	}
	if e.Len() != 0 {
		t.Errorf("%d relays left", e.Len())
	}
}
