package upgrader

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// roundTrip returns how long a packet takes to the client and back, or 0 where the kernel does not know.
func roundTrip(conn syscall.Conn) (d time.Duration) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			d = time.Duration(info.Rtt) * time.Microsecond
		}
	})
	return d
}
