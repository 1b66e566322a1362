package relay

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An attempt is what a relay has while it connects. The loop owns it.
type attempt struct {
	to   Target
	done chan struct{} // if not nil, closed when the attempt is over
}

func (a *attempt) end() {
	if a.done != nil {
		close(a.done)
	}
}

var errFirst = fmt.Errorf("relay: first bytes: more than %d", maxStash)

func (e *engine) connect(client int, to Target, cfg Config) (*Relay, error) {
	if len(to.First) > maxStash {
		return nil, errFirst
	}
	server, err := to.dial()
	if err != nil {
		return nil, err
	}
	l := e.pick()
	r := newSession(l, []int{client, server}, cfg, time.Now())
	if len(to.First) > 0 {
		up := &r.flows[0]
		up.stash = to.First
		up.moved.Store(-uint64(len(to.First))) // 0 once they are sent
	}
	r.attempt.Store(&attempt{to: to})
	e.running.Add(1)
	if err := l.adopt(r); err != nil {
		e.running.Add(-1)
		unix.Close(server)
		return nil, err
	}
	return r, nil
}

// adopt registers the sockets of a relay that connects, and leaves it for the loop to find before it looks at its next
// event. That comes at once, without a wake-up by us: the client is writable, since nobody has written to it.
func (l *loop) adopt(r *Relay) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	// With mu held, an event has to wait for what it is about.
	for i := range r.sockets() {
		if err := l.register(&r.ends[i]); err != nil {
			if i > 0 {
				_ = unix.EpollCtl(l.epfd, unix.EPOLL_CTL_DEL, r.ends[0].fd, nil)
			}
			return err
		}
	}
	l.joining = append(l.joining, r)
	return nil
}

// join takes in a relay that connects.
func (l *loop) join(r *Relay) {
	l.relays[r] = struct{}{}
	for i := range r.sockets() {
		l.enter(&r.ends[i])
	}
	r.active = l.now
	if timeout := r.attempt.Load().to.Timeout; timeout > 0 {
		l.wheel.arm(&r.timer, l.now+timeout, l.now)
	}
}

// attempted takes in an event of a relay that connects, and tells whether it does so no longer and is well.
func (l *loop) attempted(e *end, events uint32) bool {
	r, a := e.r, e.r.attempt.Load()
	if e == &r.ends[0] {
		return false // its error, if it has one, is for the first read to find
	}
	if events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		if errno, err := unix.GetsockoptInt(e.fd, unix.SOL_SOCKET, unix.SO_ERROR); err == nil && errno != 0 {
			l.giveUp(r, os.NewSyscallError("connect", unix.Errno(errno)))
			return false
		}
	}
	if !e.writable {
		return false
	}
	r.attempt.Store(nil)
	a.end()
	l.wheel.disarm(&r.timer)
	r.active = l.now
	if r.cfg.IdleTimeout > 0 {
		l.wheel.arm(&r.timer, r.active+r.cfg.IdleTimeout, l.now)
	}
	return true
}

// giveUp ends an attempt and gives the client back.
func (l *loop) giveUp(r *Relay, why error) {
	l.forget(r)
	client, server := r.ends[0].fd, r.ends[1].fd
	_ = unix.EpollCtl(l.epfd, unix.EPOLL_CTL_DEL, client, nil)
	unix.Close(server)
	a := r.attempt.Swap(nil)
	a.end()
	l.engine.wg.Go(func() {
		defer l.engine.running.Add(-1)
		if a.to.OnFail == nil {
			resetAndClose(client)
			return
		}
		a.to.OnFail(client, a.to.opError(why))
	})
}

func (s *session) connecting() bool { return s.attempt.Load() != nil }

// through returns what is closed when r does not connect any more, or nil if it does not now. It is the loop's.
func (s *session) through() <-chan struct{} {
	a := s.attempt.Load()
	if a == nil {
		return nil
	}
	if a.done == nil {
		a.done = make(chan struct{})
	}
	return a.done
}

func resetAndClose(fd int) {
	reset(fd)
	unix.Close(fd)
}

// dial returns a socket that connects, or has connected.
func (t *Target) dial() (int, error) {
	var sa unix.RawSockaddrAny
	size, err := t.sockaddr(&sa)
	if err != nil {
		return -1, t.opError(err)
	}
	fd, err := unix.Socket(int(sa.Addr.Family), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, t.opError(os.NewSyscallError("socket", err))
	}
	if t.Path == "" {
		err = setTCP(fd, t.KeepAlive)
	}
	if err == nil {
		// By hand, since package unix allocates the address.
		_, _, errno := unix.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&sa)), uintptr(size))
		switch errno {
		case 0, unix.EINPROGRESS, unix.EINTR: // connect(2): after a signal it goes on, too
			return fd, nil
		}
		err = os.NewSyscallError("connect", errno)
	}
	unix.Close(fd)
	return -1, t.opError(err)
}

// sockaddr writes the address as the kernel has it, and returns its size.
func (t *Target) sockaddr(sa *unix.RawSockaddrAny) (size int, err error) {
	port := t.Addr.Port()
	bigEndian := [2]byte{byte(port >> 8), byte(port)}
	switch ip := t.Addr.Addr(); {
	case t.Path != "":
		un := (*unix.RawSockaddrUnix)(unsafe.Pointer(sa))
		un.Family = unix.AF_UNIX
		size = int(unsafe.Offsetof(un.Path)) + len(t.Path)
		if len(t.Path) >= len(un.Path) {
			return 0, errors.New("path too long")
		}
		for i := range len(t.Path) {
			un.Path[i] = int8(t.Path[i])
		}
		if t.Path[0] == '@' {
			un.Path[0] = 0
			return size, nil
		}
		return size + 1, nil
	case ip.Is4() || ip.Is4In6():
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		in.Family, in.Addr = unix.AF_INET, ip.As4()
		in.Port = *(*uint16)(unsafe.Pointer(&bigEndian))
		return unix.SizeofSockaddrInet4, nil
	case ip.Is6():
		in := (*unix.RawSockaddrInet6)(unsafe.Pointer(sa))
		in.Family, in.Addr = unix.AF_INET6, ip.As16()
		in.Port = *(*uint16)(unsafe.Pointer(&bigEndian))
		in.Scope_id, err = scope(ip.Zone())
		return unix.SizeofSockaddrInet6, err
	default:
		return 0, errors.New("no address")
	}
}

// scope returns the number of an IPv6 zone, which is a number or the name of an interface.
func scope(zone string) (uint32, error) {
	if zone == "" {
		return 0, nil
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n), nil
	}
	i, err := net.InterfaceByName(zone)
	if err != nil {
		return 0, err
	}
	return uint32(i.Index), nil
}

// opError has err read as one of Go's dialer does.
func (t *Target) opError(err error) error {
	if t.Path != "" {
		return &net.OpError{Op: "dial", Net: "unix", Addr: &net.UnixAddr{Name: t.Path, Net: "unix"}, Err: err}
	}
	return &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(t.Addr), Err: err}
}

// setTCP does for a new socket what Go's dialer does.
func setTCP(fd int, keep net.KeepAliveConfig) error {
	type option struct{ level, name, value int }
	options := [5]option{{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1}}
	n := 1
	if keep.Enable {
		options[n] = option{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1}
		n++
		for _, o := range [...]option{
			{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, seconds(keep.Idle)},
			{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, seconds(keep.Interval)},
			{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, count(keep.Count)},
		} {
			if o.value > 0 {
				options[n] = o
				n++
			}
		}
	}
	for _, o := range options[:n] {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	return nil
}

// seconds and count are of a net.KeepAliveConfig: 0 is Go's default, a negative value leaves the system's.
func seconds(d time.Duration) int {
	if d == 0 {
		return 15
	}
	return int((d + time.Second - 1) / time.Second)
}

func count(n int) int {
	if n == 0 {
		return 9
	}
	return n
}
