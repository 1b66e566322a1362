//go:build unix

package upgrader

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// dupConn returns a close-on-exec duplicate of conn's fd that this process alone owns. It does not go through File or
// Fd, which can flip the blocking mode that both descriptors share.
func dupConn(conn syscall.Conn, name string) (*os.File, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var file *os.File
	var dupErr error
	err = raw.Control(func(fd uintptr) {
		dup, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			dupErr = os.NewSyscallError("fcntl", err)
			return
		}
		file = os.NewFile(uintptr(dup), name)
	})
	if err != nil {
		return nil, err
	}
	return file, dupErr
}

func closeOnExec(fd int) { unix.CloseOnExec(fd) }
