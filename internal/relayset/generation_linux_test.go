package relayset

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/seed-e3b9a99f/baton/internal/relay"
	"github.com/seed-e3b9a99f/baton/upgrader"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

// generation stands in for an upgrader.Upgrader: its parcels go to another one of this process.
type generation struct {
	t          testing.TB
	receive    map[string]func(upgrader.Parcel) error
	handover   []func()
	exit, done chan struct{}
	work       sync.WaitGroup

	mu   sync.Mutex
	next *generation
	send func(upgrader.Parcel) error // in place of the next one, if not nil
}

func newGeneration(t testing.TB) *generation {
	return &generation{
		t: t, receive: make(map[string]func(upgrader.Parcel) error), exit: make(chan struct{}), done: make(chan struct{}),
	}
}

func (g *generation) OnParcel(kind string, receive func(upgrader.Parcel) error) error {
	if g.receive[kind] != nil {
		return errors.New("received already")
	}
	g.receive[kind] = receive
	return nil
}

func (g *generation) OnHandover(fn func())  { g.handover = append(g.handover, fn) }
func (g *generation) Exit() <-chan struct{} { return g.exit }
func (g *generation) Done() <-chan struct{} { return g.done }

func (g *generation) Go(fn func() error) {
	g.work.Go(func() {
		if err := fn(); err != nil {
			g.t.Error(err)
		}
	})
}

func (g *generation) ChildPID() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.next == nil && g.send == nil {
		return 0
	}
	return 4711
}

// SendParcel passes duplicates on, as SCM_RIGHTS does.
func (g *generation) SendParcel(p upgrader.Parcel) error {
	g.mu.Lock()
	next, send := g.next, g.send
	g.mu.Unlock()
	if send != nil {
		return send(p)
	}
	if next == nil {
		return upgrader.ErrNoReceiver
	}
	var copies []*os.File
	for _, f := range p.Files {
		copies = append(copies, duplicate(g.t, f))
	}
	return next.receive[p.Kind](upgrader.Parcel{Kind: p.Kind, Data: p.Data, Files: copies})
}

func duplicate(t testing.TB, f *os.File) *os.File {
	t.Helper()
	raw, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	fd := -1
	if cerr := raw.Control(func(old uintptr) { fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
	return os.NewFile(uintptr(fd), f.Name())
}

// replace is what an upgrader does from the commit on. It returns when the process drains.
func (g *generation) replace(next *generation) {
	g.mu.Lock()
	g.next = next
	g.mu.Unlock()
	for _, fn := range g.handover {
		fn()
	}
	close(g.exit)
}

// stop ends the process at once, and waits for its work.
func (g *generation) stop() {
	for _, c := range []chan struct{}{g.exit, g.done} {
		select {
		case <-c:
		default:
			close(c)
		}
	}
	g.work.Wait()
}

// newSet returns a set that is stopped at the end of the test; then nothing of it may be left.
func newSet(t testing.TB, adopt func([]byte) (relay.Config, error)) (*generation, *Set) {
	t.Helper()
	checkFDs(t)
	g := newGeneration(t)
	s, err := New(g, Options{Kind: "test", Loops: 1, Adopt: adopt, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.stop()
		if n, known := s.Len(), len(s.all); n != 0 || known != 0 {
			t.Errorf("%d relays run, and %d are known, after the end", n, known)
		}
	})
	return g, s
}

// checkFDs fails t unless, at its end, the descriptors come down to as many as there are now. Another set of the test may
// still be closing what moved to it, and it only ends later.
func checkFDs(t testing.TB) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0") // Go's poller keeps two descriptors from its first use on
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	before := openFDs()
	t.Cleanup(func() {
		for deadline := time.Now().Add(patience); openFDs() > before; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("%d descriptors open, %d before", openFDs(), before)
				return
			}
		}
	})
}

func openFDs() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}

// pair returns the two ends of a new TCP connection.
func pair(t testing.TB) (near, far *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	a, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); a.Close() })
	for _, c := range []net.Conn{c, a} {
		_ = c.SetDeadline(time.Now().Add(patience))
	}
	return c.(*net.TCPConn), a.(*net.TCPConn)
}

// begin relays between two new connections, and returns their outer ends and what tells of the end.
func begin(t testing.TB, s *Set, note string) (client, server *net.TCPConn, ended chan relay.Result) {
	t.Helper()
	client, a := pair(t)
	b, server := pair(t)
	ended = make(chan relay.Result, 2)
	if err := s.Relay(a, b, []byte(note), relay.Config{OnEnd: func(r relay.Result) { ended <- r }}); err != nil {
		t.Fatal(err)
	}
	return client, server, ended
}

// passes sends a word from one end of a relay to the other.
func passes(t testing.TB, from, to net.Conn, word string) {
	t.Helper()
	if _, err := io.WriteString(from, word); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, len(word))
	if _, err := io.ReadFull(to, buf); err != nil || string(buf) != word {
		t.Fatalf("arrived: %q, %v; want %q", buf, err, word)
	}
}

func next(t testing.TB, ended <-chan relay.Result) relay.Result {
	t.Helper()
	select {
	case r := <-ended:
		return r
	case <-time.After(patience):
		t.Fatal("OnEnd is not called")
		return relay.Result{}
	}
}
