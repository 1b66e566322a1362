//go:build unix

package upgrader

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// queued tells whether the kernel has data of conn that nobody has read.
func queued(conn syscall.Conn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false // wrapped: then its reader is all there is to know
	}
	has := false
	_ = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK) // Go's sockets do not block
		has = err == nil && n > 0
	})
	return has
}
