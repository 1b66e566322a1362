//go:build unix

package control

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func fdOf(t *testing.T, f *os.File) (fd uintptr) {
	t.Helper()
	if err := WithFds([]*os.File{f}, func(fds []int) error { fd = uintptr(fds[0]); return nil }); err != nil {
		t.Fatal(err)
	}
	return fd
}

func flags(t *testing.T, fd uintptr, cmd int) int {
	t.Helper()
	n, err := unix.FcntlInt(fd, cmd, 0)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func wantCloseOnExec(t *testing.T, fd uintptr) {
	t.Helper()
	if flags(t, fd, unix.F_GETFD)&unix.FD_CLOEXEC == 0 {
		t.Errorf("fd %d is not close-on-exec", fd)
	}
}

// newFiles returns n files that can be told apart; the test closes them.
func newFiles(t *testing.T, n int) ([]Entry, []*os.File) {
	t.Helper()
	dir := t.TempDir()
	entries, files := make([]Entry, n), make([]*os.File, n)
	for i := range n {
		f, err := os.CreateTemp(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		entries[i] = Entry{Role: RoleFile, Name: fmt.Appendf(nil, "\xff\x00%d", i), Generation: i}
		files[i] = f
	}
	return entries, files
}

func sameFile(t *testing.T, a, b *os.File) bool {
	t.Helper()
	x, err := a.Stat()
	if err != nil {
		t.Fatal(err)
	}
	y, err := b.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return os.SameFile(x, y)
}

func TestSendFiles(t *testing.T) {
	forSockets(t, func(t *testing.T, typ int) {
		for _, n := range []int{0, 1, 2, MaxFiles - 1, MaxFiles, MaxFiles + 1, 2*MaxFiles + 1, 600} {
			entries, files := newFiles(t, n)
			a, b := ends(t, typ)
			go func() {
				err := a.SendFiles(entries, files)
				if err == nil {
					err = a.Send(Message{Kind: Complete})
				}
				if err != nil {
					t.Error(err)
				}
			}()
			frames, i := 0, 0
			m := receive(t, b)
			for ; m.Kind == Files; m = receive(t, b) {
				frames++
				got, err := DecodeFiles(m)
				if err != nil {
					t.Fatal(err)
				}
				for j, f := range m.Files {
					if string(got[j].Name) != string(entries[i].Name) || got[j].Generation != i || !sameFile(t, f, files[i]) {
						t.Errorf("fd %d of %d came as %q", i, n, got[j].Name)
					}
					wantCloseOnExec(t, fdOf(t, f))
					i++
				}
				closeAll(m.Files)
			}
			if want := (n + MaxFiles - 1) / MaxFiles; m.Kind != Complete || i != n || frames != want {
				t.Errorf("%d of %d fds in %d frames, want %d", i, n, frames, want)
			}
		}
	})
}

// Long names need more frames than fds do.
func TestSendFilesWithLongNames(t *testing.T) {
	forSockets(t, func(t *testing.T, typ int) {
		a, b := ends(t, typ)
		entries, files := newFiles(t, 100)
		for i := range entries {
			entries[i].Address = fmt.Appendf(nil, "%04000d", i)
		}
		go func() {
			if err := a.SendFiles(entries, files); err != nil {
				t.Error(err)
			}
		}()
		for i := 0; i < len(entries); {
			m := receive(t, b)
			got, err := DecodeFiles(m)
			if err != nil {
				t.Fatal(err)
			}
			for j := range got {
				if string(got[j].Address) != string(entries[i].Address) || !sameFile(t, m.Files[j], files[i]) {
					t.Errorf("entry %d came as %s", i, got[j].Address)
				}
				i++
			}
			closeAll(m.Files)
		}
		entries[0].Address = make([]byte, MaxPayload)
		if err := a.SendFiles(entries[:1], files[:1]); err == nil {
			t.Error("one entry that fits no frame was sent")
		}
		if err := a.SendFiles(entries[1:3], files[1:2]); err == nil {
			t.Error("two entries with one file were sent")
		}
	})
}

func TestReceivedFilesWork(t *testing.T) {
	forSockets(t, func(t *testing.T, typ int) {
		a, b := ends(t, typ)
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		raw, err := ln.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var dup int
		if err := raw.Control(func(fd uintptr) { dup, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		socket := os.NewFile(uintptr(dup), "listener")
		send(t, a, Message{Kind: Files, Files: []*os.File{r, w, socket}})
		r.Close()
		w.Close()
		socket.Close()
		ln.Close()

		m := receive(t, b)
		if len(m.Files) != 3 {
			t.Fatalf("%d fds", len(m.Files))
		}
		got, err := net.FileListener(m.Files[2])
		if err != nil {
			t.Fatal(err)
		}
		m.Files[2].Close()
		client, err := net.Dial("tcp", got.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		served, err := got.Accept()
		if err != nil {
			t.Fatal(err)
		}
		served.Close()
		client.Close()
		got.Close()
		if _, err := m.Files[1].WriteString("through the pipe"); err != nil {
			t.Error(err)
		}
		m.Files[1].Close()
		if text, err := io.ReadAll(m.Files[0]); err != nil || string(text) != "through the pipe" {
			t.Errorf("read %q, %v", text, err)
		}
		m.Files[0].Close()
	})
}

// O_NONBLOCK belongs to the open file that both processes share, so that neither end may change it.
func TestBlockingModeStays(t *testing.T) {
	forSockets(t, func(t *testing.T, typ int) {
		a, b := ends(t, typ)
		for _, mode := range []int{0, unix.O_NONBLOCK} {
			var fds [2]int
			if err := unix.Pipe(fds[:]); err != nil {
				t.Fatal(err)
			}
			if err := unix.SetNonblock(fds[0], mode != 0); err != nil {
				t.Fatal(err)
			}
			ours := os.NewFile(uintptr(fds[0]), "pipe")
			send(t, a, Message{Kind: Files, Files: []*os.File{ours}})
			m := receive(t, b)
			for when, f := range map[string]*os.File{"sender's": ours, "receiver's": m.Files[0]} {
				if got := flags(t, fdOf(t, f), unix.F_GETFL) & unix.O_NONBLOCK; got != mode {
					t.Errorf("the %s O_NONBLOCK is %#x, was %#x", when, got, mode)
				}
			}
			closeAll(m.Files)
			if got := flags(t, uintptr(fds[0]), unix.F_GETFL) & unix.O_NONBLOCK; got != mode {
				t.Errorf("O_NONBLOCK is %#x at the end, was %#x", got, mode)
			}
			ours.Close()
			unix.Close(fds[1])
		}
	})
}

func TestClosedFileIsNotSent(t *testing.T) {
	forSockets(t, func(t *testing.T, typ int) {
		a, b := ends(t, typ)
		_, files := newFiles(t, 2)
		files[1].Close()
		if err := a.Send(Message{Kind: Files, Files: files}); err == nil {
			t.Error("a closed file was sent")
		}
		if err := a.Send(Message{Kind: Files, Files: []*os.File{nil}}); !errors.Is(err, os.ErrInvalid) {
			t.Errorf("got %v", err)
		}
		send(t, a, Message{Kind: Files, Files: files[:1]})
		m := receive(t, b)
		if len(m.Files) != 1 || !sameFile(t, m.Files[0], files[0]) {
			t.Errorf("%d fds", len(m.Files))
		}
		closeAll(m.Files)
	})
}
