package admin

import (
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const nobody = 65534

// asNobody runs fn in a thread that is not root's, which ends with it. The rest of the process stays root's.
func asNobody(t *testing.T, fn func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to be somebody else")
	}
	done := make(chan unix.Errno)
	go func() {
		runtime.LockOSThread() // and not unlocked: the thread is no good for others
		_, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody)
		if errno == 0 {
			fn()
		}
		done <- errno
	}()
	if errno := <-done; errno != 0 {
		t.Fatal(os.NewSyscallError("setresuid", errno))
	}
}

// open lets everybody reach the files in a test's directory.
func open(t *testing.T, path string) {
	t.Helper()
	for dir := filepath.Dir(path); dir != os.TempDir() && len(dir) > 1; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSomebodyElseMayNotOpenTheSocket(t *testing.T) {
	socket := serve(t, Handler(&fakeProxy{}, quiet()))
	open(t, socket)
	asNobody(t, func() {
		c := NewClient(socket)
		// net/http dials in a thread of its own.
		_, err := c.http.Transport.(*http.Transport).DialContext(t.Context(), "", "")
		got := c.unreachable(err)
		want := "may not open " + socket + ": only uid 0 may: permission denied"
		if got.Error() != want || !errors.Is(got, fs.ErrPermission) {
			t.Errorf("the error is %q, want %q", got, want)
		}
		if err := os.Chmod(socket, 0o777); err == nil {
			t.Error("the test is root after all")
		}
	})
}

func TestSomebodyElseIsRefusedOnAnOpenSocket(t *testing.T) {
	f := &fakeProxy{}
	socket := serve(t, Handler(f, quiet()))
	open(t, socket)
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	asNobody(t, func() {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		const req = "PUT /maintenance HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 11\r\n\r\n{\"on\":true}"
		if _, err := conn.Write([]byte(req)); err != nil {
			t.Error(err)
		}
		buf := make([]byte, 4096)
		n, err := conn.Read(buf)
		if answer := string(buf[:n]); !strings.HasPrefix(answer, "HTTP/1.1 403 ") {
			t.Errorf("the answer is %q, %v", answer, err)
		}
	})
	if f.Maintenance() {
		t.Error("somebody else has switched maintenance mode on")
	}
}
