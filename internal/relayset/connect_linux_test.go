package relayset

import (
	"errors"
	"io"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-e3b9a99f/baton/internal/relay"
)

// bare returns a client and its connection's other end as a descriptor.
func bare(t testing.TB) (client *net.TCPConn, fd int) {
	t.Helper()
	client, far := pair(t)
	file, err := far.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	again := duplicate(t, file)
	defer again.Close()
	raw, err := again.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(of uintptr) { fd, err = unix.FcntlInt(of, unix.F_DUPFD_CLOEXEC, 0) })
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	far.Close()
	if err != nil {
		t.Fatal(err)
	}
	return client, fd
}

// slowServer answers nobody before its queue has been freed.
func slowServer(t testing.TB) (ln *net.TCPListener, free func()) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln = l.(*net.TCPListener)
	t.Cleanup(func() { ln.Close() })
	raw, err := ln.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) { err = unix.Listen(int(fd), 0) })
	if err != nil {
		t.Fatal(err)
	}
	queued := 0
	for {
		c, err := net.DialTimeout("tcp", ln.Addr().String(), 200*time.Millisecond)
		if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		queued++
	}
	return ln, func() {
		for range queued {
			accept(t, ln).Close()
		}
	}
}

func accept(t testing.TB, ln *net.TCPListener) *net.TCPConn {
	t.Helper()
	ln.SetDeadline(time.Now().Add(patience))
	c, err := ln.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// connect begins a relay to ln. What tells of its end also tells of a failure.
func connect(t testing.TB, s *Set, note string, to net.Addr, onFail func(int, error)) (*net.TCPConn, chan relay.Result) {
	t.Helper()
	client, fd := bare(t)
	ended := make(chan relay.Result, 2)
	target := relay.Target{Addr: to.(*net.TCPAddr).AddrPort(), Timeout: patience, OnFail: onFail}
	if err := s.Connect(fd, target, []byte(note), relay.Config{OnEnd: func(r relay.Result) { ended <- r }}); err != nil {
		t.Fatal(err)
	}
	return client, ended
}

// A relay that connects when the process is replaced moves as soon as it can, and holds up no other.
func TestWhatConnectsMovesWhenItHas(t *testing.T) {
	for _, when := range []string{"before", "after"} {
		t.Run(when+" the process is replaced", func(t *testing.T) {
			newGen, _, notes, endedThere := child(t)
			g, s := newSet(t, nil)
			ln, free := slowServer(t)
			failed := func(fd int, err error) {
				t.Error(err)
				relay.Reset(fd)
			}
			defer s.Hold()()
			if when == "after" {
				g.replace(newGen)
			}
			client, ended := connect(t, s, "slow", ln.Addr(), failed)
			if when == "before" {
				_, _, other := begin(t, s, "quick")
				g.replace(newGen)
				if r := next(t, other); !errors.Is(r.Err, ErrMoved) {
					t.Errorf("the other one ended with %+v", r)
				}
				if got := notes(); !slices.Equal(got, []string{"quick"}) {
					t.Errorf("moved: %q", got)
				}
			}
			if s.Len() != 1 {
				t.Errorf("%d relays here", s.Len())
			}
			client.Write([]byte("hello"))
			free()
			server := accept(t, ln)
			if r := next(t, ended); !errors.Is(r.Err, ErrMoved) {
				t.Errorf("ended with %+v", r)
			}
			if s.Len() != 0 || known(s) != 0 || !slices.Contains(notes(), "slow") {
				t.Errorf("%d relays here, %d known; moved: %q", s.Len(), known(s), notes())
			}
			b := make([]byte, 5)
			if _, err := io.ReadFull(server, b); string(b) != "hello" || err != nil {
				t.Errorf("the server read %q, %v", b, err)
			}
			passes(t, server, client, "answer")
			client.Close()
			server.Close()
			if r := next(t, endedThere); r.Err != nil {
				t.Errorf("ended there with %+v", r)
			}
		})
	}
}

// While somebody is looking for another server the set is not over.
func TestAFailureKeepsTheSetOpen(t *testing.T) {
	g, s := newSet(t, nil)
	closed, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	drained, retried := make(chan struct{}), make(chan error, 1)
	ended := make(chan relay.Result, 1)
	client, ended1 := connect(t, s, "x", closed.Addr(), func(fd int, err error) {
		if !errors.Is(err, syscall.ECONNREFUSED) || known(s) != 0 {
			t.Errorf("%v; %d are known", err, known(s))
		}
		close(g.exit)
		select {
		case <-drained:
			t.Error("the drain is over")
		case <-time.After(50 * time.Millisecond): // ten of its looks
		}
		retried <- s.Connect(fd, relay.Target{Addr: ln.Addr().(*net.TCPAddr).AddrPort()}, nil,
			relay.Config{OnEnd: func(r relay.Result) { ended <- r }})
	})
	go func() {
		g.work.Wait()
		close(drained)
	}()
	if err := <-retried; err != nil {
		t.Fatal(err)
	}
	server := accept(t, ln.(*net.TCPListener))
	passes(t, client, server, "word")
	client.Close()
	server.Close()
	if r := next(t, ended); r.Err != nil {
		t.Errorf("ended with %+v", r)
	}
	select {
	case <-drained:
	case <-time.After(patience):
		t.Error("the drain does not end")
	}
	if len(ended1) > 0 {
		t.Error("OnEnd was called, too")
	}
}

// At the end of the drain what still connects is cut.
func TestTheEndOfTheDrainCutsWhatConnects(t *testing.T) {
	newGen, _, notes, _ := child(t)
	g, s := newSet(t, nil)
	ln, _ := slowServer(t)
	client, ended := connect(t, s, "slow", ln.Addr(), nil)
	g.replace(newGen)
	g.stop()
	if r := next(t, ended); !errors.Is(r.Err, relay.ErrAborted) {
		t.Errorf("ended with %+v", r)
	}
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client sees %v", err)
	}
	if got := notes(); len(got) > 0 {
		t.Errorf("moved: %q", got)
	}
}
