package relay

import (
	"io"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// noPipes lets the engines that start now have no pipes.
func noPipes(t *testing.T) {
	replacePipe2(t, func(*[2]int) error { return unix.EMFILE })
}

// smallPipes gives them pipes of one page, as the kernel does to a user who has many.
func smallPipes(t *testing.T) {
	real := pipe2
	replacePipe2(t, func(fds *[2]int) error {
		if err := real(fds); err != nil {
			return err
		}
		_, err := unix.FcntlInt(uintptr(fds[0]), unix.F_SETPIPE_SZ, 4096)
		return err
	})
}

func replacePipe2(t *testing.T, f func(*[2]int) error) {
	real := pipe2
	pipe2 = f
	t.Cleanup(func() { pipe2 = real }) // after the engines' cleanup
}

func TestUrgentDataDoesNotStallTheRest(t *testing.T) {
	e := newEngine(t)
	client, server, _ := start(t, e, Config{})
	raw, err := client.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	server.SetReadDeadline(time.Now().Add(10 * time.Second))
	for range 50 {
		raw.Control(func(fd uintptr) {
			unix.Sendto(int(fd), []byte("ab!"), unix.MSG_OOB, nil)
			unix.Sendto(int(fd), []byte("cd"), 0, nil)
		})
		b := make([]byte, 4)
		if _, err := io.ReadFull(server, b); err != nil || string(b) != "abcd" {
			t.Fatalf("read %q, %v", b, err)
		}
	}
}
