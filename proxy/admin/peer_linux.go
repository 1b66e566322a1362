package admin

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// socketPeer returns who has connected, as it was at connect(2); see SO_PEERCRED in unix(7).
func socketPeer(c *net.UnixConn) (uid int, err error) {
	return askSocket(c, func(fd int) (int, error) {
		cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			return -1, os.NewSyscallError("getsockopt SO_PEERCRED", err)
		}
		return int(cred.Uid), nil
	})
}
