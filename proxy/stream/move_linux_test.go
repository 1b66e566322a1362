package stream

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-e3b9a99f/baton/proxy/config"
	"github.com/seed-e3b9a99f/baton/upgrader"
)

// replacedBy has parcels of v go to another service, as SCM_RIGHTS takes them: the files are duplicates.
func (v *service) replacedBy(next *service) {
	send := func(p upgrader.Parcel) error {
		var copies []*os.File
		for _, f := range p.Files {
			raw, err := f.SyscallConn()
			if err != nil {
				return err
			}
			fd := -1
			if cerr := raw.Control(func(old uintptr) { fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); cerr != nil || err != nil {
				return fmt.Errorf("%w %w", cerr, err)
			}
			copies = append(copies, os.NewFile(uintptr(fd), f.Name()))
		}
		return next.gen.receive(upgrader.Parcel{Kind: p.Kind, Data: p.Data, Files: copies})
	}
	v.gen.send.Store(&send)
	v.gen.handover()
	close(v.gen.exit)
}

func TestRelaysMoveWhole(t *testing.T) {
	b := newBackend(t)
	s := passthrough(b)
	s.upstreams = to(deadAddress(t), b.address())
	newer, older := serve(t, s), serve(t, s)
	hello := clientHello(t, &tls.Config{ServerName: "a.test"})
	client := older.dial()
	say(t, client, hello)
	server := b.accept()
	hear(t, server, hello)
	say(t, client, "before")
	hear(t, server, "before")
	say(t, server, "answer")
	hear(t, client, "answer")

	until(t, "the relay is known", func() bool { now, _ := older.server.Counts(); return now == 1 && older.relays.Len() == 1 })
	older.replacedBy(newer)
	older.ln.Close()
	<-older.served
	older.gen.work.Wait() // nothing keeps the older process
	if now, _ := older.server.Counts(); now != 0 || older.active() != 0 {
		t.Errorf("the older process counts %d connections and %d leases", now, older.active())
	}
	if now, accepted := newer.server.Counts(); now != 1 || accepted != 0 || newer.active() != 1 {
		t.Errorf("the newer one counts %d connections, %d accepted and %d leases", now, accepted, newer.active())
	}
	older.seen++ // it was accepted there, and observed here
	newer.seen--
	say(t, client, "after")
	hear(t, server, "after")
	client.Close()
	server.Close()
	e := newer.wantEvent("", uint64(len(hello)+len("beforeafter")), 6)
	if e.SNI != "a.test" || e.Retries != 1 || e.Server != b.address() || e.Upstream != "app" || e.Listener != "test" ||
		e.Source.String() != client.LocalAddr().String() || e.Duration <= 0 || e.Duration > patience {
		t.Errorf("observed %+v", e)
	}
}

// The newer configuration may know neither the upstream nor the server.
func TestRelaysMoveToAnotherConfiguration(t *testing.T) {
	b, other := newBackend(t), newBackend(t)
	newer, older := serve(t, plain(other)), serve(t, plain(b))
	client := older.dial()
	server := b.accept()
	older.replacedBy(newer)
	until(t, "it has moved", func() bool { return newer.relays.Len() == 1 })
	say(t, client, "hello")
	hear(t, server, "hello")
	if newer.active() != 0 {
		t.Error("another server has the lease")
	}
	older.seen++
	newer.seen--
	reset(server)
	hearReset(t, client)
	newer.wantEvent(Reset, 5, 0)
}

// A client who was accepted, and had said nothing when the others moved, follows them.
func TestWhoIsSlowToSpeakMoves(t *testing.T) {
	b := newBackend(t)
	newer, older := serve(t, passthrough(b)), serve(t, passthrough(b))
	client := older.dial()
	until(t, "it is accepted", func() bool { return older.accepted.Load() == 1 })
	older.ln.Close()
	older.replacedBy(newer)
	hello := clientHello(t, &tls.Config{ServerName: "a.test"})
	say(t, client, hello)
	server := b.accept()
	hear(t, server, hello)
	<-older.served
	older.gen.work.Wait()
	if n := newer.relays.Len(); n != 1 {
		t.Errorf("%d relays moved", n)
	}
	older.seen++
	newer.seen--
	client.Close()
	server.Close()
	newer.wantEvent("", uint64(len(hello)), 0)
}

func TestNotes(t *testing.T) {
	n := Note{Listener: "l", Upstream: "u", Server: "s", Client: "1.2.3.4:5", Protocol: "websocket", SNI: "a.test",
		Retries: 2, Early: 3, Begun: time.Unix(1, 0).UTC()}
	got, err := ParseNote(n.Encode())
	if err != nil || got != n {
		t.Errorf("%+v, %v; want %+v", got, err, n)
	}
	if _, err := ParseNote([]byte("{")); err == nil || !strings.Contains(err.Error(), "what the parent says") {
		t.Error(err)
	}
}

// blackhole is an address that answers no SYN: its queue is full.
func blackhole(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
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
	address := fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
	dial(t, "tcp", address) // fills the queue
	return address
}

func TestConnectTimeout(t *testing.T) {
	b := newBackend(t)
	hole := blackhole(t)
	s := plain(b)
	s.upstreams = map[string]config.Upstream{
		"app": {Servers: []string{hole, b.address()}, Retries: 1, ConnectTimeout: 2 * moment},
	}
	v := serve(t, s)
	client := v.dial()
	say(t, client, "hello") // waits for the server that takes it
	server := b.accept()
	hear(t, server, "hello")
	client.Close()
	server.Close()
	if e := v.wantEvent("", 5, 0); e.Retries != 1 || e.Server != b.address() {
		t.Errorf("observed %+v", e)
	}
	failure := v.settings.Upstreams["app"].Pool.Status()[0].LastError
	if !strings.Contains(failure, "connection within") && !strings.Contains(failure, "timeout") {
		t.Errorf("the server's last error is %q", failure)
	}
}

func TestConnectTimeoutOfAll(t *testing.T) {
	s := plain(newBackend(t))
	s.upstreams = map[string]config.Upstream{"app": {Servers: []string{blackhole(t)}, ConnectTimeout: 2 * moment}}
	v := serve(t, s)
	v.refused()
	v.wantEvent(ConnectTimeout, 0, 0)
}

func TestTheEndOfTheDrainCutsThoseWhoConnect(t *testing.T) {
	s := plain(newBackend(t))
	s.upstreams = to(blackhole(t))
	v := serve(t, s)
	client := v.dial()
	until(t, "the server is dialled", func() bool { return v.active() == 1 })
	v.stop()
	hearReset(t, client)
	v.wantEvent(Cut, 0, 0)
}

// remembering keeps a duplicate of what it accepts.
type remembering struct {
	net.Listener
	files chan *os.File
}

func (l remembering) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		if f, err := c.(*net.TCPConn).File(); err == nil {
			l.files <- f
		}
	}
	return c, err
}

func TestKeepAlive(t *testing.T) {
	b := newBackend(t)
	s := plain(b)
	s.listener.KeepAlive = 37 * time.Second
	own := listen(t, "tcp", "127.0.0.1:0")
	f, err := own.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	inherited, err := net.FileListener(f) // as from a parent
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	own.Close()
	files := make(chan *os.File, 1)
	s.on = remembering{inherited, files}
	v := serve(t, s)
	client := v.dial()
	server := b.accept()
	copied := <-files
	raw, err := copied.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	say(t, client, "hello")
	hear(t, server, "hello")
	_ = raw.Control(func(fd uintptr) {
		for option, want := range map[[2]int]int{
			{unix.SOL_SOCKET, unix.SO_KEEPALIVE}: 1, {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE}: 37, {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL}: 37,
		} {
			if got, err := unix.GetsockoptInt(int(fd), option[0], option[1]); err != nil || got != want {
				t.Errorf("option %v is %d (%v), want %d", option, got, err, want)
			}
		}
	})
	copied.Close()
	client.Close()
	server.Close()
	v.wantEvent("", 5, 0)
}
