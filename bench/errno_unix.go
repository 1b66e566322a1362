//go:build unix

package bench

import (
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// ownLimit returns the class of an errno that speaks of this machine and not of the peer.
func ownLimit(errno syscall.Errno) (Class, bool) {
	switch errno {
	case unix.EMFILE, unix.ENFILE:
		return ClientFiles, true
	case unix.EADDRNOTAVAIL, unix.EADDRINUSE:
		return ClientPorts, true
	case unix.ENOBUFS, unix.ENOMEM:
		return ClientMemory, true
	}
	return "", false
}

func isRefused(errno syscall.Errno) bool { return errno == unix.ECONNREFUSED }

func isReset(errno syscall.Errno) bool { return errno == unix.ECONNRESET }

func errnoName(errno syscall.Errno) string {
	if name := unix.ErrnoName(errno); name != "" {
		return name
	}
	return "errno " + strconv.Itoa(int(errno))
}
