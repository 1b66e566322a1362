package upgrader

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// acceptedSockets runs a loop of AcceptSocket, and returns what it got and at last its error.
func acceptedSockets(ln *NamedListener) (<-chan *Socket, <-chan error) {
	got, end := make(chan *Socket, 1000), make(chan error, 1)
	go func() {
		for {
			s, err := ln.AcceptSocket()
			if err != nil {
				end <- err
				return
			}
			got <- s
		}
	}()
	return got, end
}

func listenNamed(t *testing.T, f *Fds, network, address string) *NamedListener {
	t.Helper()
	ln, err := f.ListenNamed("db", network, address, TCP)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ln.Close()
		f.leave(func(*fd) bool { return false }, nil)
	})
	return ln
}

func dialTo(t *testing.T, ln net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestAcceptSocket(t *testing.T) {
	for network, address := range map[string]string{
		"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0", "tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "s"),
	} {
		t.Run(network, func(t *testing.T) {
			defer goleak.VerifyNone(t)
			f := openFds(t)
			before := openDescriptors(t)
			ln := listenNamed(t, f, network, address)
			got, end := acceptedSockets(ln)

			client := dialTo(t, ln)
			s := <-got
			if ln.conns.count() != 1 {
				t.Errorf("%d connections are waited for", ln.conns.count())
			}
			if tcp, ok := client.LocalAddr().(*net.TCPAddr); ok && (s.Peer() != tcp.AddrPort() || s.Local().String() != ln.Addr().String()) {
				t.Errorf("from %v to %v, want %v and %v", s.Peer(), s.Local(), tcp, ln.Addr())
			} else if !ok && s.Peer().IsValid() {
				t.Errorf("from %v", s.Peer())
			}
			taken, err := s.Take()
			if err != nil {
				t.Fatal(err)
			}
			if ln.conns.count() != 0 {
				t.Error("a connection that was taken is waited for")
			}
			io.WriteString(client, "hello")
			b := make([]byte, 5)
			if n, err := unix.Read(taken, b); n != 5 || err != nil {
				t.Errorf("read %q, %v", b[:max(0, n)], err)
			}
			if _, err := unix.Read(taken, b); err != unix.EAGAIN {
				t.Errorf("read again: %v, want EAGAIN", err)
			}
			if flags, err := unix.FcntlInt(uintptr(taken), unix.F_GETFD, 0); flags&unix.FD_CLOEXEC == 0 || err != nil {
				t.Errorf("flags %#x, %v", flags, err)
			}
			if err := s.Close(); err == nil {
				t.Error("closed what was taken")
			}
			if _, err := s.Take(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("taken twice: %v", err)
			}
			unix.Close(taken)

			client = dialTo(t, ln)
			if err := (<-got).Close(); err != nil || ln.conns.count() != 0 {
				t.Errorf("Close: %v; %d are waited for", err, ln.conns.count())
			}
			if _, err := client.Read(b); err != io.EOF {
				t.Errorf("the client sees %v", err)
			}

			client = dialTo(t, ln)
			c, err := (<-got).Conn()
			if err != nil || ln.conns.count() != 1 {
				t.Fatalf("Conn: %v; %d are waited for", err, ln.conns.count())
			}
			io.WriteString(client, "again")
			if _, err := io.ReadFull(c, b); string(b) != "again" || err != nil {
				t.Errorf("read %q, %v", b, err)
			}
			c.Close()

			// At the end of a drain what nobody has taken is closed.
			client = dialTo(t, ln)
			s = <-got
			if n := ln.conns.closeAll(); n != 1 {
				t.Errorf("closed %d", n)
			}
			if _, err := client.Read(b); err != io.EOF {
				t.Errorf("the client sees %v", err)
			}
			if _, err := s.Take(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("taken after its end: %v", err)
			}

			ln.Close()
			if err := <-end; !errors.Is(err, net.ErrClosed) {
				t.Errorf("AcceptSocket at the end: %v", err)
			}
			if _, err := ln.AcceptSocket(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("AcceptSocket after the end: %v", err)
			}
			f.leave(func(*fd) bool { return false }, nil)
			client.Close()
			if after := openDescriptors(t); after > before+3 { // the clients, which the test closes later
				t.Errorf("%d descriptors, %d before", after, before)
			}
			if _, err := net.Dial(network, ln.Addr().String()); err == nil {
				t.Error("still listens")
			}
		})
	}
}

func TestAcceptSocketPauses(t *testing.T) {
	defer goleak.VerifyNone(t)
	f := openFds(t)
	f.open = false // as a child begins
	ln := listenNamed(t, f, "tcp", "127.0.0.1:0")
	got, end := acceptedSockets(ln)
	dialTo(t, ln)
	f.resume()
	(<-got).Close()
	f.pause()
	const dialed = 5
	for range dialed {
		dialTo(t, ln)
	}
	time.Sleep(50 * time.Millisecond) // there is nothing to wait for
	if n := ln.conns.count(); n > 1 {
		t.Errorf("%d connections were accepted while paused", n)
	}
	f.resume()
	for range dialed {
		(<-got).Close()
	}
	f.pause()
	ln.Close()
	if err := <-end; !errors.Is(err, net.ErrClosed) {
		t.Errorf("AcceptSocket after Close: %v", err)
	}
}

// As TestRemoveDrainsTheQueue has it for Accept.
func TestRemoveDrainsTheQueueOfSockets(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			defer goleak.VerifyNone(t)
			f := openFds(t)
			address := "127.0.0.1:0"
			if network == "unix" {
				address = filepath.Join(t.TempDir(), "s")
			}
			ln := listenNamed(t, f, network, address)
			f.pause() // so that a queue builds up
			const queued = 100
			for range queued {
				dialTo(t, ln)
			}
			got, end := acceptedSockets(ln)
			if err := f.Remove("db"); err != nil {
				t.Fatal(err)
			}
			if err := <-end; !errors.Is(err, net.ErrClosed) {
				t.Errorf("AcceptSocket at the end: %v", err)
			}
			if len(got) != queued {
				t.Errorf("%d connections were served, %d were queued", len(got), queued)
			}
			for len(got) > 0 {
				(<-got).Close()
			}
			if _, err := net.Dial(network, ln.Addr().String()); err == nil {
				t.Error("still accepts")
			}
		})
	}
}

// A connection has what Go would have given it, also one that came before the listener had it, and however the listener
// came by other options.
func TestAcceptSocketOptions(t *testing.T) {
	type options struct{ noDelay, keepAlive, idle, interval, count int }
	of := func(s *Socket) (o options) {
		fd, err := s.Take()
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		get := func(level, name int) int {
			n, err := unix.GetsockoptInt(fd, level, name)
			if err != nil {
				t.Error(err)
			}
			return min(n, 9999)
		}
		o = options{noDelay: get(unix.IPPROTO_TCP, unix.TCP_NODELAY), keepAlive: get(unix.SOL_SOCKET, unix.SO_KEEPALIVE)}
		if o.keepAlive == 1 {
			o.idle, o.interval = get(unix.IPPROTO_TCP, unix.TCP_KEEPIDLE), get(unix.IPPROTO_TCP, unix.TCP_KEEPINTVL)
			o.count = get(unix.IPPROTO_TCP, unix.TCP_KEEPCNT)
		}
		return o
	}
	for name, c := range map[string]struct {
		config *net.ListenConfig
		want   options
	}{
		"default":    {&net.ListenConfig{}, options{1, 1, 15, 15, 9}},
		"off":        {&net.ListenConfig{KeepAlive: -1}, options{1, 0, 0, 0, 0}},
		"period":     {&net.ListenConfig{KeepAlive: time.Minute}, options{1, 1, 60, 15, 9}},
		"the system": {&net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: -1, Count: -1}}, options{1, 1, 1, 75, 9}},
	} {
		t.Run(name, func(t *testing.T) {
			f := openFds(t)
			f.listen = c.config
			ln := listenNamed(t, f, "tcp4", "127.0.0.1:0")
			dialTo(t, ln) // before the listener has the options
			dialTo(t, ln)
			for range 2 {
				dialTo(t, ln)
				s, err := ln.AcceptSocket()
				if err != nil {
					t.Fatal(err)
				}
				if got := of(s); got != c.want {
					t.Errorf("options %+v, want %+v", got, c.want)
				}
			}
			if err := ln.SetKeepAlive(net.KeepAliveConfig{Enable: true, Idle: 7 * time.Second, Interval: 8 * time.Second, Count: 3}); err != nil {
				t.Fatal(err)
			}
			got, end := acceptedSockets(ln)
			for range 2 {
				if got := of(<-got); got != (options{1, 1, 7, 8, 3}) {
					t.Errorf("options %+v of one that waited", got)
				}
			}
			// In the end the queue was seen empty, and what comes has inherited them.
			for range 3 {
				dialTo(t, ln)
				if got := of(<-got); got != (options{1, 1, 7, 8, 3}) {
					t.Errorf("options %+v of one that came later", got)
				}
			}
			if ln.sockets.set.Load() != 2 {
				t.Errorf("the listener was given options %d times", ln.sockets.set.Load())
			}
			ln.Close()
			<-end
			if ln.sockets.empty != ln.sockets.set.Load() {
				t.Error("connections are still given options one by one")
			}
		})
	}
}

// A full table is what the caller waits out, as with Accept.
func TestAcceptSocketWithoutDescriptors(t *testing.T) {
	f := openFds(t)
	ln := listenNamed(t, f, "tcp4", "127.0.0.1:0")
	dialTo(t, ln)
	s, err := ln.AcceptSocket()
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	dialTo(t, ln)
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	_, err = ln.AcceptSocket()
	if rerr := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); rerr != nil {
		t.Fatal(rerr)
	}
	if !errors.Is(err, syscall.EMFILE) || !isTemporary(err) {
		t.Errorf("AcceptSocket: %v", err)
	}
	if s, err = ln.AcceptSocket(); err != nil {
		t.Fatal(err)
	}
	s.Close()
}
