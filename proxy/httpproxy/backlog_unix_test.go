//go:build unix

package httpproxy

import (
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/proxy/config"
)

// fullBacklog is a listener whose queue is full: a connection to it is neither accepted nor refused.
func fullBacklog(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: name.(*syscall.SockaddrInet4).Port}).String()
	for range 8 {
		c, err := net.DialTimeout("tcp", addr, 100*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	t.Skip("the queue of this system's listeners has no end")
	return ""
}

func TestAServerThatDoesNotAccept(t *testing.T) {
	addr := fullBacklog(t)
	rig := newRig(t, func(_ *config.Listener, up *config.Upstream, _ *Options) { up.ConnectTimeout = 100 * time.Millisecond }, addr)
	res, _ := rig.get("/")
	if e := rig.exchange(); res.StatusCode != 504 || e.Class != ConnectTimeout {
		t.Errorf("status %d, observed %+v", res.StatusCode, e)
	}
}
