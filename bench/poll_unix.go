//go:build unix

package bench

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// readNow reads what has arrived, and returns errQuiet at once if nothing has. Go keeps its sockets non-blocking, so
// one read is all it takes.
func (c *pollConn) readNow(p []byte) (int, error) {
	var n int
	var err error
	waitErr := c.raw.Read(func(fd uintptr) bool {
		for {
			n, err = unix.Read(int(fd), p)
			if err != unix.EINTR {
				return true
			}
		}
	})
	switch {
	case waitErr != nil:
		return 0, waitErr
	case err == unix.EAGAIN:
		return 0, errQuiet
	case err != nil:
		return 0, os.NewSyscallError("read", err)
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	default:
		return n, nil
	}
}
