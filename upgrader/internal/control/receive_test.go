//go:build unix

package control

import (
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// writeRaw sends bytes and fds as they are.
func writeRaw(t *testing.T, to *os.File, b []byte, files ...*os.File) {
	t.Helper()
	fd := fdOf(t, to)
	err := WithFds(files, func(fds []int) error {
		var oob []byte
		if len(fds) > 0 {
			oob = unix.UnixRights(fds...)
		}
		return unix.Sendmsg(int(fd), b, oob, nil, 0)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestToleratedFrames(t *testing.T) {
	forSockets(t, func(t *testing.T, typ int) {
		c, f := rawPair(t, typ)
		defer f.Close()
		writeRaw(t, f, rawFrame(func(h []byte) { h[4] = 200 }, "of a kind to come"))
		writeRaw(t, f, rawFrame(version(Major, Minor+9), `{"pid":5,"mood":{"good":true}}`))
		writeRaw(t, f, rawFrame(func(h []byte) { h[5] = 0xfe }, "flags to come"))
		if m := receive(t, c); m.Kind != 200 || string(m.Payload) != "of a kind to come" || m.Seq != 7 {
			t.Errorf("got %+v", m)
		}
		var hello Greeting
		if err := Decode(receive(t, c), &hello); err != nil || hello != (Greeting{PID: 5}) {
			t.Errorf("got %+v, %v", hello, err)
		}
		if m := receive(t, c); m.More || string(m.Payload) != "flags to come" {
			t.Errorf("got %+v", m)
		}
	})
}

// Whatever is wrong with a frame, its fds are closed.
func TestMalformedFrames(t *testing.T) {
	forSockets(t, func(t *testing.T, typ int) {
		_, files := newFiles(t, 3)
		_, many := newFiles(t, MaxFiles+1) // the kernel's own limit
		for name, tc := range map[string]struct {
			frame   []byte
			files   []*os.File
			version bool
			packets bool // wrong only where a frame is a packet
		}{
			"no header":      {frame: []byte("what is this, then"), files: files},
			"short":          {frame: rawFrame(nil, "")[:5], files: files, packets: true},
			"other major":    {frame: rawFrame(version(Major+1, 0), "{}"), files: files, version: true},
			"too large":      {frame: rawFrame(nil, string(make([]byte, MaxPayload+1))), files: files},
			"longer":         {frame: rawFrame(claimPayload(1), "four"), files: files, packets: true},
			"longer at most": {frame: rawFrame(claimPayload(MaxPayload), string(make([]byte, MaxPayload+1))), packets: true},
			"shorter":        {frame: rawFrame(claimPayload(5), "four"), files: files, packets: true},
			"too many fds":   {frame: rawFrame(claimFiles(2), ""), files: files},
			"unnamed fds":    {frame: rawFrame(nil, ""), files: files},
			"all the fds":    {frame: rawFrame(claimFiles(MaxFiles+1), ""), files: many},
		} {
			if tc.packets && typ == unix.SOCK_STREAM {
				continue
			}
			before := openFds(t)
			c, f := rawPair(t, typ)
			writeRaw(t, f, tc.frame, tc.files...)
			m, err := c.Receive()
			var version *VersionError
			if tc.version != errors.As(err, &version) || !tc.version && !errors.Is(err, ErrFrame) {
				t.Errorf("%s: %+v, %v", name, m, err)
			}
			f.Close()
			c.Close()
			if after := openFds(t); after != before {
				t.Errorf("%s: %d fds open, %d before", name, after, before)
			}
		}
	})
}

func TestMissingFds(t *testing.T) {
	forSockets(t, func(t *testing.T, typ int) {
		c, f := rawPair(t, typ)
		defer f.Close()
		_, files := newFiles(t, 3)
		writeRaw(t, f, rawFrame(claimFiles(4), ""), files...)
		writeRaw(t, f, rawFrame(claimFiles(MaxFiles), ""))
		writeRaw(t, f, rawFrame(nil, "next"))
		for range 2 {
			if m, err := c.Receive(); err == nil || errors.Is(err, ErrFrame) {
				t.Errorf("got %+v, %v", m, err)
			}
		}
		if m := receive(t, c); string(m.Payload) != "next" {
			t.Errorf("got %+v", m)
		}
	})
}

func TestOversizedSend(t *testing.T) {
	forSockets(t, func(t *testing.T, typ int) {
		a, b := ends(t, typ)
		if err := a.Send(Message{Kind: State, Payload: make([]byte, MaxPayload+1)}); err == nil {
			t.Error("an oversized payload was sent")
		}
		if err := a.Send(Message{Kind: Files, Files: make([]*os.File, MaxFiles+1)}); err == nil {
			t.Error("too many fds were sent")
		}
		send(t, a, Message{Kind: Complete})
		if m := receive(t, b); m.Kind != Complete || m.Seq != 1 {
			t.Errorf("got %+v", m)
		}
	})
}

// A stream may deliver a frame in any pieces; the fds come with its first byte.
func TestStreamInPieces(t *testing.T) {
	noFdLeft(t)
	c, f := rawPair(t, unix.SOCK_STREAM)
	_, files := newFiles(t, 2)
	frame := rawFrame(claimFiles(2), "payload")
	for cut := 1; cut < len(frame); cut++ {
		done := make(chan Message)
		go func() {
			m, err := c.Receive()
			if err != nil {
				t.Error(err)
			}
			done <- m
		}()
		writeRaw(t, f, frame[:cut], files...)
		writeRaw(t, f, frame[cut:])
		m := <-done
		if string(m.Payload) != "payload" || len(m.Files) != 2 || !sameFile(t, m.Files[1], files[1]) {
			t.Errorf("cut at %d: %q with %d fds", cut, m.Payload, len(m.Files))
		}
		closeAll(m.Files)
	}
	// The peer dies within a frame.
	writeRaw(t, f, frame[:len(frame)-1], files...)
	f.Close()
	for range 2 {
		if _, err := c.Receive(); err != io.EOF {
			t.Errorf("got %v, want io.EOF itself", err)
		}
	}
}

// After half of a frame its payload, which may look like a frame itself, is never taken for one.
func TestStreamAfterDeadlineInFrame(t *testing.T) {
	forged := rawFrame(nil, "forged")
	frame := append(rawFrame(func(h []byte) { claimPayload(uint32(len(forged)))(h); claimFiles(1)(h) }, ""), forged...)
	for _, cut := range []int{1, headerSize - 1, headerSize, headerSize + 1, len(frame) - 1} {
		noFdLeft(t)
		c, f := rawPair(t, unix.SOCK_STREAM)
		_, files := newFiles(t, 1)
		writeRaw(t, f, frame[:cut], files...)
		if err := c.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Receive(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("cut at %d: %v", cut, err)
		}
		writeRaw(t, f, frame[cut:])
		if err := c.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if m, err := c.Receive(); err == nil {
			t.Errorf("cut at %d: then %q", cut, m.Payload)
		}
		f.Close()
	}
}

func FuzzReceive(f *testing.F) {
	f.Add(rawFrame(nil, `{"generation":2,"pid":4711}`), uint8(0))
	f.Add(rawFrame(claimFiles(2), "two fds"), uint8(2))
	f.Add(rawFrame(claimFiles(2), "one fd"), uint8(1))
	f.Add(rawFrame(claimPayload(3), "longer"), uint8(1))
	f.Add(rawFrame(claimPayload(300), "shorter"), uint8(1))
	f.Add(rawFrame(version(Major+1, 0), ""), uint8(1))
	f.Add(append(rawFrame(nil, "one"), rawFrame(nil, "after the other")...), uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, fds uint8) {
		if len(b) == 0 || len(b) > MaxPayload {
			return
		}
		noFdLeft(t)
		files := make([]*os.File, fds%4)
		for i := range files {
			file, err := os.Open(os.DevNull)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			files[i] = file
		}
		for _, typ := range []int{unix.SOCK_STREAM, socketType()} {
			c, there := rawPair(t, typ)
			writeRaw(t, there, b, files...)
			there.Close()
			for rest := len(b); ; {
				m, err := c.Receive()
				if err == io.EOF || err != nil && typ == unix.SOCK_STREAM {
					break // a stream may go on after an error, but need not
				}
				if err == nil {
					rest -= headerSize + len(m.Payload)
					closeAll(m.Files)
				}
				if rest < 0 {
					t.Fatal("more came than was sent")
				}
			}
			c.Close()
		}
	})
}
