//go:build unix

package control

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestRoundTrip(t *testing.T) {
	forSockets(t, func(t *testing.T, typ int) {
		a, b := ends(t, typ)
		sizes := []int{0, 1, headerSize, 4096, MaxPayload - 1, MaxPayload, 0}
		go func() {
			for i, size := range sizes {
				m := Message{Kind: State, More: i%2 == 1, Payload: bytes.Repeat([]byte{byte(i + 1)}, size)}
				if err := a.Send(m); err != nil {
					t.Error(err)
				}
			}
		}()
		var last []byte
		for i, size := range sizes {
			m := receive(t, b)
			want := bytes.Repeat([]byte{byte(i + 1)}, size)
			if m.Kind != State || m.More != (i%2 == 1) || m.Seq != uint32(i+1) || !bytes.Equal(m.Payload, want) {
				t.Errorf("frame %d of %d bytes came as %v %v %d with %d", i, size, m.Kind, m.More, m.Seq, len(m.Payload))
			}
			if i > 0 && !bytes.Equal(last, bytes.Repeat([]byte{byte(i)}, sizes[i-1])) {
				t.Errorf("frame %d changed when the next one came", i-1)
			}
			last = m.Payload
		}
		send(t, b, Message{Kind: Ready}) // the other direction
		if m := receive(t, a); m.Kind != Ready || m.Seq != 1 {
			t.Errorf("got %+v", m)
		}
	})
}

func TestPairIsCloseOnExec(t *testing.T) {
	noFdLeft(t)
	c, f, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	defer f.Close()
	raw, err := c.uc.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { wantCloseOnExec(t, fd) }); err != nil {
		t.Error(err)
	}
	wantCloseOnExec(t, fdOf(t, f))
}

// A duplicate is the same end: it goes on where the first left off, and the peer sees an end only after both.
func TestFile(t *testing.T) {
	forSockets(t, func(t *testing.T, typ int) {
		a, b := ends(t, typ)
		send(t, a, Message{Kind: Hello})
		f, err := b.File()
		if err != nil {
			t.Fatal(err)
		}
		wantCloseOnExec(t, fdOf(t, f))
		b.Close()
		if _, err := b.File(); err == nil {
			t.Error("File of a closed channel")
		}
		send(t, a, Message{Kind: Complete})
		again, err := New(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range []Kind{Hello, Complete} {
			if m := receive(t, again); m.Kind != kind {
				t.Errorf("got kind %d, want %d", m.Kind, kind)
			}
		}
		again.Close()
		if _, err := a.Receive(); err != io.EOF {
			t.Errorf("got %v, want io.EOF itself", err)
		}
	})
}

func TestNewRefusesWhatIsNoChannel(t *testing.T) {
	noFdLeft(t)
	datagram, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(datagram[1])
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ln, err := net.ListenUDP("udp", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	udp, err := ln.File()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []*os.File{r, os.NewFile(uintptr(datagram[0]), "datagram"), udp} {
		if c, err := New(f); err == nil {
			t.Error("New took", f.Name())
			c.Close()
		}
		if err := f.Close(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("New did not close %s", f.Name())
		}
	}
}

func TestEndOfPeer(t *testing.T) {
	forSockets(t, func(t *testing.T, typ int) {
		a, b := ends(t, typ)
		send(t, b, Message{Kind: Refused, Payload: Encode(Reason{Text: "no"})})
		b.Close()
		if m := receive(t, a); m.Kind != Refused {
			t.Errorf("got kind %d", m.Kind)
		}
		for range 2 {
			if _, err := a.Receive(); err != io.EOF {
				t.Errorf("got %v, want io.EOF itself", err)
			}
		}
		if err := a.Send(Message{Kind: Commit}); !errors.Is(err, unix.EPIPE) {
			t.Errorf("Send: %v", err)
		}
	})
}

// A child that dies before it has read all that the parent sent has still said why.
func TestLastWordsOfPeerThatDidNotRead(t *testing.T) {
	forSockets(t, func(t *testing.T, typ int) {
		a, b := ends(t, typ)
		send(t, a, Message{Kind: State, Payload: []byte("unread")})
		send(t, b, Message{Kind: Hello})
		send(t, b, Message{Kind: Refused})
		b.Close()
		for _, kind := range []Kind{Hello, Refused} {
			if m := receive(t, a); m.Kind != kind {
				t.Errorf("got kind %d, want %d", m.Kind, kind)
			}
		}
		if _, err := a.Receive(); err != io.EOF {
			t.Errorf("got %v, want io.EOF itself", err)
		}
	})
}

func TestKilledPeer(t *testing.T) {
	forSockets(t, func(t *testing.T, typ int) {
		a, f := rawPair(t, typ)
		cmd := helper(t, "wait", f)
		m := receive(t, a)
		var hello Greeting
		if err := Decode(m, &hello); err != nil || hello.PID != cmd.Process.Pid {
			t.Errorf("pid %d said hello (%v), want %d", hello.PID, err, cmd.Process.Pid)
		}
		send(t, a, Message{Kind: Files, Payload: []byte("[]")})
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Receive(); err != io.EOF {
			t.Errorf("got %v, want io.EOF itself", err)
		}
		if err := cmd.Wait(); err == nil {
			t.Error("the helper ended by itself")
		}
	})
}

func TestDeadlines(t *testing.T) {
	forSockets(t, func(t *testing.T, typ int) {
		a, b := ends(t, typ)
		past := time.Unix(1, 0)
		if err := errors.Join(a.SetReadDeadline(past), a.SetWriteDeadline(past)); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Receive(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Receive: %v", err)
		}
		if err := a.Send(Message{Kind: Commit}); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Send: %v", err)
		}
		// A deadline between frames does no harm.
		if err := errors.Join(a.SetReadDeadline(time.Time{}), a.SetWriteDeadline(time.Time{})); err != nil {
			t.Fatal(err)
		}
		send(t, a, Message{Kind: Commit})
		send(t, b, Message{Kind: Committed})
		if m := receive(t, a); m.Kind != Committed {
			t.Errorf("got kind %d", m.Kind)
		}
		if m := receive(t, b); m.Kind != Commit {
			t.Errorf("got kind %d", m.Kind)
		}
	})
}

// A peer that does not read fills the socket. What was sent whole arrives, and the channel goes on.
func TestDeadlineOfFullSocket(t *testing.T) {
	if socketType() == unix.SOCK_STREAM {
		t.Skip("a stream takes half of a frame, see TestDeadlineWithinFrame")
	}
	noFdLeft(t)
	a, b := ends(t, unix.SOCK_SEQPACKET)
	sent := fill(t, a)
	for range sent {
		if m := receive(t, b); len(m.Payload) != MaxPayload {
			t.Errorf("%d bytes", len(m.Payload))
		}
	}
	if err := a.SetWriteDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	send(t, a, Message{Kind: Commit})
	if m := receive(t, b); m.Kind != Commit {
		t.Errorf("got kind %d", m.Kind)
	}
}

// On a stream a deadline leaves half of a frame behind, whose rest the receiver would see in the next one.
func TestDeadlineWithinFrame(t *testing.T) {
	noFdLeft(t)
	a, b := ends(t, unix.SOCK_STREAM)
	raw, err := a.uc.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var setErr error
	if err := raw.Control(func(fd uintptr) {
		setErr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, 8<<10)
	}); err != nil || setErr != nil {
		t.Fatal(err, setErr)
	}
	sent := fill(t, a)
	if err := a.SetWriteDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	go func() {
		if err := a.Send(Message{Kind: Commit}); err == nil {
			t.Error("a frame went out after half of one")
		}
		a.Close()
	}()
	for range sent {
		if m := receive(t, b); len(m.Payload) != MaxPayload {
			t.Errorf("%d bytes", len(m.Payload))
		}
	}
	if m, err := b.Receive(); err != io.EOF {
		t.Errorf("half of a frame came as %+v, %v", m, err)
	}
}

// fill sends frames until the socket takes no more, and returns how many it took whole.
func fill(t *testing.T, c *Conn) (sent int) {
	t.Helper()
	for {
		if err := c.SetWriteDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		err := c.Send(Message{Kind: State, Payload: make([]byte, MaxPayload)})
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return sent
		}
		if err != nil {
			t.Fatal(err)
		}
		sent++
	}
}

func TestCloseEndsReceive(t *testing.T) {
	forSockets(t, func(t *testing.T, typ int) {
		a, _ := ends(t, typ)
		done := make(chan error)
		go func() {
			_, err := a.Receive()
			done <- err
		}()
		a.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
}

func TestConcurrentSenders(t *testing.T) {
	forSockets(t, func(t *testing.T, typ int) {
		const senders, frames = 8, 100
		a, b := ends(t, typ)
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		defer w.Close()
		var all sync.WaitGroup
		for s := range senders {
			all.Go(func() {
				for i := range frames {
					payload := append([]byte{byte(s), byte(i)}, bytes.Repeat([]byte{byte(s)}, i*200)...)
					if err := a.Send(Message{Kind: Parcel, Payload: payload, Files: []*os.File{r, w}[:i%3]}); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		var next [senders]int
		for seq := range senders * frames {
			m := receive(t, b)
			s, i := m.Payload[0], int(m.Payload[1])
			if m.Seq != uint32(seq+1) || i != next[s] || len(m.Files) != i%3 ||
				!bytes.Equal(m.Payload[2:], bytes.Repeat([]byte{s}, i*200)) {
				t.Fatalf("frame %d: number %d of sender %d with %d fds, want number %d", seq, i, s, len(m.Files), next[s])
			}
			next[s]++
			closeAll(m.Files)
		}
		all.Wait()
	})
}
