//go:build darwin || freebsd

package admin

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// socketPeer returns who has connected, as it was at connect(2); see LOCAL_PEERCRED in unix(4).
func socketPeer(c *net.UnixConn) (uid int, err error) {
	return askSocket(c, func(fd int) (int, error) {
		cred, err := unix.GetsockoptXucred(fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
		if err != nil {
			return -1, os.NewSyscallError("getsockopt LOCAL_PEERCRED", err)
		}
		return int(cred.Uid), nil
	})
}
