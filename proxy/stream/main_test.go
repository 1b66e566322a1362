package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-e3b9a99f/baton/internal/relay"
	"github.com/seed-e3b9a99f/baton/internal/relayset"
	"github.com/seed-e3b9a99f/baton/proxy/config"
	"github.com/seed-e3b9a99f/baton/proxy/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what has to come, and moment for what must not.
const (
	patience = 10 * time.Second
	moment   = 50 * time.Millisecond
)

func shut(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

// setup says what to serve. What is left out is a tcp listener on loopback.
type setup struct {
	listener  config.Listener
	upstreams map[string]config.Upstream
	tls       *tls.Config
	on        net.Listener
}

// service is a Server that serves.
type service struct {
	t        testing.TB
	gen      *generation
	relays   *relayset.Set
	server   *Server
	settings Settings
	ln       net.Listener
	events   chan Event
	accepted atomic.Int64
	seen     int64
	served   chan struct{} // closed when Serve has returned
}

// serve begins to serve. The test takes an event for each connection; at its end nothing may be left.
func serve(t testing.TB, s setup) *service {
	t.Helper()
	if s.on == nil {
		s.on = listen(t, "tcp", "127.0.0.1:0")
	}
	checkFDs(t)
	v := &service{t: t, gen: newGeneration(t), ln: s.on, events: make(chan Event, 64), served: make(chan struct{})}
	quiet := slog.New(slog.DiscardHandler)
	var err error
	v.relays, err = relayset.New(v.gen, relayset.Options{Kind: "test", Loops: 1, Logger: quiet, Adopt: v.adopt})
	if err != nil {
		t.Fatal(err)
	}
	v.settings = Settings{Listener: s.listener, TLS: s.tls, Upstreams: make(map[string]*Upstream)}
	for name, cfg := range s.upstreams {
		if cfg.ConnectTimeout == 0 {
			cfg.ConnectTimeout = patience
		}
		pool, err := upstream.New(name, cfg, upstream.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		v.settings.Upstreams[name] = &Upstream{Pool: pool, Config: cfg}
	}
	v.server = New("test", Options{
		Relays: v.relays, Logger: quiet, Accepted: func() { v.accepted.Add(1) }, Observe: func(e Event) { v.events <- e },
		Exit: v.gen.exit, Done: v.gen.done,
	})
	v.server.Use(v.settings)
	go func() {
		defer close(v.served)
		if err := v.server.Serve(tracking{v.ln}); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(v.finish)
	return v
}

func (v *service) adopt(blob []byte) (relay.Config, error) {
	n, err := ParseNote(blob)
	if err != nil {
		return relay.Config{}, err
	}
	return v.server.Join(n), nil
}

// finish stops v, and looks for what it has left.
func (v *service) finish() {
	t := v.t
	if !t.Failed() && len(v.events) > 0 {
		t.Errorf("an event that nobody expected: %+v", <-v.events)
	}
	if n := v.active(); n > 0 && !t.Failed() {
		t.Errorf("%d leases are not released", n)
	}
	if !t.Failed() { // what is observed is uncounted a moment later
		until(t, "no connection is counted", func() bool { n, _ := v.server.Counts(); return n == 0 })
	}
	if n := v.accepted.Load(); n != v.seen && !t.Failed() {
		t.Errorf("%d connections accepted, %d observed", n, v.seen)
	}
	v.stop()
}

// stop ends the process that v stands for.
func (v *service) stop() {
	v.ln.Close()
	shut(v.gen.exit)
	shut(v.gen.done)
	select {
	case <-v.served:
	case <-time.After(patience):
		v.t.Error("Serve does not return")
	}
	v.gen.work.Wait()
}

// active returns how many leases are out.
func (v *service) active() (n int) {
	for _, up := range v.settings.Upstreams {
		for _, s := range up.Pool.Status() {
			n += s.Active
		}
	}
	return n
}

// event waits for the next end of a connection.
func (v *service) event() Event {
	v.t.Helper()
	select {
	case e := <-v.events:
		v.seen++
		return e
	case <-time.After(patience):
		v.t.Fatal("nothing is observed")
		return Event{}
	}
}

// wantEvent waits for the end of a connection of which class and counts are known.
func (v *service) wantEvent(class Class, up, down uint64) Event {
	v.t.Helper()
	e := v.event()
	if e.Class != class || e.Up != up || e.Down != down || (class == "") != (e.Err == nil) {
		v.t.Errorf("observed class %q, %d bytes up, %d down (%v); want %q, %d, %d", e.Class, e.Up, e.Down, e.Err, class, up, down)
	}
	return e
}

// dial connects a client.
func (v *service) dial() net.Conn {
	v.t.Helper()
	return dial(v.t, v.ln.Addr().Network(), v.ln.Addr().String())
}

// refused connects a client who is reset at once, which may come while it still connects.
func (v *service) refused() {
	v.t.Helper()
	c, err := net.Dial(v.ln.Addr().Network(), v.ln.Addr().String())
	if err == nil {
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		_, err = io.Copy(io.Discard, c)
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		v.t.Errorf("the connection ended with %v, want a reset", err)
	}
}

func dial(t testing.TB, network, address string) net.Conn {
	t.Helper()
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

// tracking wraps connections as an upgrader's listener does.
type tracking struct{ net.Listener }

func (l tracking) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return tracked{c}, nil
}

type tracked struct{ net.Conn }

func (c tracked) NetConn() net.Conn                     { return c.Conn }
func (c tracked) CloseWrite() error                     { return c.Conn.(interface{ CloseWrite() error }).CloseWrite() }
func (c tracked) SyscallConn() (syscall.RawConn, error) { return c.Conn.(syscall.Conn).SyscallConn() }

// backend is a server behind the proxy.
type backend struct {
	t  testing.TB
	ln net.Listener
}

func listen(t testing.TB, network, address string) net.Listener {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

func newBackend(t testing.TB) *backend { return &backend{t, listen(t, "tcp", "127.0.0.1:0")} }

func (b *backend) address() string { return b.ln.Addr().String() }

// accept waits for the proxy's connection.
func (b *backend) accept() net.Conn {
	b.t.Helper()
	c := b.acceptWithin(patience)
	if c == nil {
		b.t.Fatal("nobody connects to the server")
	}
	return c
}

// acceptWithin returns nil if nobody connects.
func (b *backend) acceptWithin(d time.Duration) net.Conn {
	b.t.Helper()
	_ = b.ln.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Now().Add(d))
	c, err := b.ln.Accept()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

// to is an upstream of servers at those addresses.
func to(addresses ...string) map[string]config.Upstream {
	return map[string]config.Upstream{"app": {Servers: addresses, Retries: len(addresses) - 1}}
}

// plain is a tcp listener in front of b.
func plain(b *backend) setup {
	return setup{listener: config.Listener{Protocol: config.TCP, Upstream: "app"}, upstreams: to(b.address())}
}

// deadAddress is one where nobody listens.
func deadAddress(t testing.TB) string {
	t.Helper()
	ln := listen(t, "tcp", "127.0.0.1:0")
	ln.Close()
	return ln.Addr().String()
}

func socketPath(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "stream") // t.TempDir's may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, name)
}

func say(t testing.TB, c net.Conn, word string) {
	t.Helper()
	if _, err := io.WriteString(c, word); err != nil {
		t.Fatal(err)
	}
}

func hear(t testing.TB, c net.Conn, word string) {
	t.Helper()
	buf := make([]byte, len(word))
	if n, err := io.ReadFull(c, buf); err != nil || string(buf) != word {
		t.Fatalf("heard %q, %v; want %q", buf[:n], err, word)
	}
}

// hearEnd wants a clean end after word.
func hearEnd(t testing.TB, c net.Conn, word string) {
	t.Helper()
	if got, err := io.ReadAll(c); err != nil || string(got) != word {
		t.Errorf("heard %q, %v; want %q and the end", got, err, word)
	}
}

// hearReset wants an end that nobody takes for a clean one.
func hearReset(t testing.TB, c net.Conn) {
	t.Helper()
	if _, err := io.Copy(io.Discard, c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection ended with %v, want a reset", err)
	}
}

func closeWrite(t testing.TB, c net.Conn) {
	t.Helper()
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
}

// until waits for a condition that nothing announces.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience) // t.Context ends before clean-ups
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("never: " + what)
		}
	}
}

func checkFDs(t testing.TB) {
	t.Helper()
	before := openFDs()
	t.Cleanup(func() {
		if after := openFDs(); after > before && !t.Failed() {
			t.Errorf("%d descriptors open, %d before", after, before)
		}
	})
}

func openFDs() int {
	entries, _ := os.ReadDir("/proc/self/fd") // none elsewhere than on Linux
	return len(entries)
}
