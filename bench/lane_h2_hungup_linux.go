package bench

import "golang.org/x/sys/unix"

// hungUp reports whether the peer has ended the connection, though its reader may not have come to that yet. It takes
// nothing from the socket.
func (c *conn) hungUp() bool {
	ended := false
	_ = c.wire.raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		for {
			n, err := unix.Poll(fds, 0)
			if err == unix.EINTR {
				continue
			}
			ended = err == nil && n > 0
			return
		}
	})
	return ended
}
