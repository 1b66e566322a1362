// Command reuseport has each process open its own listeners with SO_REUSEPORT (socket(7)). At SIGHUP the new process is
// started, and when it serves, the old one gets SIGTERM.
package main

import (
	"context"
	"net"
	"syscall"

	"github.com/seed-e3b9a99f/baton/bench/baselines/service"
	"golang.org/x/sys/unix"
)

func main() {
	c := service.Flags()
	if service.Supervised() {
		service.Must(service.Plain(c, listen, service.Serving))
		return
	}
	service.Must(service.Supervise(c.PIDFile, func(old *service.Process) (*service.Process, error) {
		next, err := service.Launch()
		if err != nil {
			return nil, err
		}
		old.Terminate()
		return next, nil
	}))
}

func listen(address string) (net.Listener, error) {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		if failed := raw.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		}); failed != nil {
			return failed
		}
		return err
	}}
	return config.Listen(context.Background(), "tcp", address)
}
