package relay

import (
	"fmt"
	"net"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// takeConn returns a close-on-exec, non-blocking descriptor for c's socket and closes c, so that Go's poller lets go of
// it. The caller closes the descriptor. If it fails, c is as it was.
func takeConn(c net.Conn) (int, error) {
	sc, ok := c.(syscall.Conn) // TLS has none: its bytes are not the socket's
	if !ok {
		return -1, fmt.Errorf("relay: %T is neither a TCP nor a Unix connection", c)
	}
	fd, err := dup(sc)
	if err != nil {
		return -1, err
	}
	if err := checkStream(fd); err != nil {
		unix.Close(fd)
		return -1, err
	}
	c.Close()
	return fd, nil
}

// takeFile does for a file what takeConn does for a connection.
func takeFile(f *os.File, check func(fd int) error) (int, error) {
	fd, err := dup(f)
	if err != nil {
		return -1, err
	}
	// Somebody on the way may have called Fd, which makes the description that we share blocking.
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return -1, os.NewSyscallError("fcntl", err)
	}
	if err := check(fd); err != nil {
		unix.Close(fd)
		return -1, err
	}
	f.Close()
	return fd, nil
}

func dup(c syscall.Conn) (int, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd := -1
	var dupErr error
	err = raw.Control(func(old uintptr) {
		fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err != nil {
		return -1, err
	}
	return fd, os.NewSyscallError("fcntl", dupErr)
}

func checkStream(fd int) error {
	typ, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return os.NewSyscallError("getsockopt", err)
	}
	if typ != unix.SOCK_STREAM {
		return fmt.Errorf("relay: socket type %d is not a stream", typ)
	}
	return nil
}

func checkPipe(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return fmt.Errorf("%w: file mode %#o is not a pipe", ErrMalformed, st.Mode)
	}
	return nil
}

// recv and send never block, not even if another holder of the socket has cleared O_NONBLOCK. package unix has no
// recv(2) without an allocation, and none of its sends without an address says how much was sent.
func recv(fd int, p []byte) (int, error) {
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))),
			uintptr(len(p)), unix.MSG_DONTWAIT, 0, 0)
		if errno == 0 {
			return int(n), nil
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}

func send(fd int, p []byte) (int, error) {
	for {
		n, _, errno := unix.Syscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))),
			uintptr(len(p)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		if errno == 0 {
			return int(n), nil
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}

func splice(from, to, limit int) (int, error) {
	for {
		n, err := unix.Splice(from, nil, to, nil, limit, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		if err == nil {
			return int(n), nil
		}
		if err != unix.EINTR {
			return 0, err
		}
	}
}

// reset makes the close that follows send a reset instead of an end of stream. Unix sockets ignore it.
func reset(fd int) {
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
}
