package bench

import (
	"strconv"
	"syscall"

	"golang.org/x/sys/windows"
)

// ownLimit returns the class of an errno that speaks of this machine and not of the peer.
func ownLimit(errno syscall.Errno) (Class, bool) {
	switch errno {
	case windows.WSAEMFILE:
		return ClientFiles, true
	case windows.WSAEADDRNOTAVAIL, windows.WSAEADDRINUSE:
		return ClientPorts, true
	case windows.WSAENOBUFS:
		return ClientMemory, true
	}
	return "", false
}

func isRefused(errno syscall.Errno) bool { return errno == windows.WSAECONNREFUSED }

func isReset(errno syscall.Errno) bool { return errno == windows.WSAECONNRESET }

func errnoName(errno syscall.Errno) string {
	switch errno {
	case windows.WSAECONNREFUSED:
		return "ECONNREFUSED"
	case windows.WSAECONNRESET:
		return "ECONNRESET"
	case windows.WSAECONNABORTED:
		return "ECONNABORTED"
	case windows.WSAETIMEDOUT:
		return "ETIMEDOUT"
	}
	return "errno " + strconv.Itoa(int(errno))
}
