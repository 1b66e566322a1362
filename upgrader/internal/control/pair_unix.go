//go:build unix

package control

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// bufferSize holds a whole frame in each direction: a SOCK_SEQPACKET frame that does not fit is refused, and the BSDs
// start with 8 KiB.
const bufferSize = 2 * MaxPayload

func socketType() int {
	if runtime.GOOS == "darwin" || runtime.GOOS == "ios" {
		return unix.SOCK_STREAM
	}
	return unix.SOCK_SEQPACKET
}

// Pair returns the two ends of a new channel: this process's, and the file to pass to the other. The caller closes
// both; closing one end, or the death of every process that holds it, is io.EOF at the other.
func Pair() (*Conn, *os.File, error) { return pair(socketType()) }

func pair(typ int) (*Conn, *os.File, error) {
	fds, err := cloexecPair(typ)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	for _, fd := range fds {
		// Not fatal: where the system allows no more, small frames still go, and Send reports the others.
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, bufferSize)
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, bufferSize)
	}
	here, there := os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control")
	c, err := New(here)
	if err != nil {
		there.Close()
		return nil, nil, err
	}
	return c, there, nil
}
