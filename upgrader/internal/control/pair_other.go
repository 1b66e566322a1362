//go:build unix && !linux

package control

import (
	"syscall"

	"golang.org/x/sys/unix"
)

func cloexecPair(typ int) ([2]int, error) {
	// A fork between the two calls would leak the pair into its child.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fds, err := unix.Socketpair(unix.AF_UNIX, typ, 0)
	if err == nil {
		unix.CloseOnExec(fds[0])
		unix.CloseOnExec(fds[1])
	}
	return fds, err
}
