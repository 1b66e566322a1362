package upgrader

import (
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// What a TCP connection has of its listener's options (tcp(7) says little: Linux clones the listener's socket) it has
// since its handshake. So those that waited when the options were set are given them one by one, until the queue has
// been seen empty.

func (l *NamedListener) setSocketKeepAlive(c net.KeepAliveConfig) error {
	b := &l.sockets
	b.options.Lock()
	b.keep = &c
	b.options.Unlock()
	return l.applyOptions()
}

// applyOptions sets the options on the listener.
func (l *NamedListener) applyOptions() error {
	raw, err := l.SyscallConn()
	if err != nil {
		return err
	}
	b := &l.sockets
	b.options.Lock()
	defer b.options.Unlock()
	var set error
	if err := raw.Control(func(fd uintptr) { set = l.setOptions(int(fd)) }); err != nil {
		return l.errClosed()
	}
	b.set.Add(1)
	return set
}

// completeOptions sets them on a connection that may be older than they are.
func (l *NamedListener) completeOptions(fd int) {
	b := &l.sockets
	if b.empty == b.set.Load() {
		return
	}
	b.options.Lock()
	defer b.options.Unlock()
	_ = l.setOptions(fd) // as package net does with its errors: the client may be gone
}

// setOptions does for a listener, or a connection, what package net does for each connection.
func (l *NamedListener) setOptions(fd int) error {
	if _, ok := l.raw.(*net.TCPListener); !ok {
		return nil
	}
	type option struct{ level, name, value int }
	keep := l.keepAliveConfig()
	options := []option{{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1}, {unix.SOL_SOCKET, unix.SO_KEEPALIVE, 0}}
	if keep.Enable {
		options[1].value = 1
		options = append(options,
			option{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, seconds(keep.Idle)},
			option{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, seconds(keep.Interval)},
			option{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, orDefault(keep.Count, 9)})
	}
	for _, o := range options {
		if o.value < 0 {
			continue
		}
		if err := syscall.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	return nil
}

// keepAliveConfig returns what was asked for. Options are locked.
func (l *NamedListener) keepAliveConfig() net.KeepAliveConfig {
	switch lc := l.config; {
	case l.sockets.keep != nil:
		return *l.sockets.keep
	case lc == nil:
		return net.KeepAliveConfig{Enable: true}
	case lc.KeepAliveConfig.Enable:
		return lc.KeepAliveConfig
	default:
		return net.KeepAliveConfig{Enable: lc.KeepAlive >= 0, Idle: lc.KeepAlive}
	}
}

// seconds and orDefault are of a net.KeepAliveConfig: 0 is Go's default, a negative value leaves the system's.
func seconds(d time.Duration) int {
	if d < 0 {
		return -1
	}
	return orDefault(int((d+time.Second-1)/time.Second), 15)
}

func orDefault(n, or int) int {
	if n == 0 {
		return or
	}
	return n
}
