package upgrader

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sockets is what a listener's AcceptSocket needs. Package net lets nobody wait for a listener, so it waits for a
// duplicate, as a file.
type sockets struct {
	mu     sync.Mutex // held by an accept, also while it waits
	opened bool
	raw    syscall.RawConn
	try    func(fd uintptr) bool // made once: it would be allocated for each connection
	found  *Socket
	err    error

	options sync.Mutex
	keep    *net.KeepAliveConfig // what was asked for; nil for the ListenConfig's
	set     atomic.Uint32        // how often the listener was given options
	empty   uint32               // what set was when the queue was last seen empty: what came since has inherited them
}

func (l *NamedListener) acceptSocket() (*Socket, error) {
	b := &l.sockets
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := l.openSockets(); err != nil {
		return nil, err
	}
	if err := l.next(l.takeSocket); err != nil {
		return nil, err
	}
	s := b.found
	b.found = nil
	l.conns.trackSocket(s)
	return s, nil
}

// openSockets makes the duplicate, whose deadline moves with the listener's.
func (l *NamedListener) openSockets() error {
	b := &l.sockets
	if b.opened {
		return nil
	}
	if state, _ := l.look(); state == closed {
		return l.errClosed()
	}
	file, err := dupConn(l.raw.(syscall.Conn), l.label)
	if err == nil {
		b.raw, err = file.SyscallConn()
	}
	if err == nil {
		err = file.SetDeadline(time.Time{}) // it fails where nobody can wait for the file
	}
	if err != nil {
		file.Close() // nil is no trouble
		return fmt.Errorf("accept bare connections: %w (%w)", errors.ErrUnsupported, err)
	}
	b.try = func(fd uintptr) bool {
		set := b.set.Load()
		b.found, b.err = accept(int(fd))
		if b.err == unix.EAGAIN {
			b.empty = set
			return false
		}
		return true
	}
	if !l.shadow(file) {
		file.Close()
		return l.errClosed()
	}
	b.opened = true
	return l.applyOptions()
}

// takeSocket is an Accept of the listener itself.
func (l *NamedListener) takeSocket() error {
	b := &l.sockets
	for {
		if err := b.raw.Read(b.try); err != nil {
			return err
		}
		switch b.err {
		case nil:
			l.completeOptions(b.found.fd)
			return nil
		case unix.EINTR, unix.ECONNABORTED: // accept(2): of a connection that is gone
		default:
			return &net.OpError{Op: "accept", Net: l.Addr().Network(), Addr: l.Addr(), Err: os.NewSyscallError("accept4", b.err)}
		}
	}
}

// accept takes what is next in a listener's queue. It is by hand, since package unix allocates the address.
func accept(ln int) (*Socket, error) {
	var sa unix.RawSockaddrAny
	size := uint32(unsafe.Sizeof(sa))
	fd, _, errno := unix.Syscall6(unix.SYS_ACCEPT4, uintptr(ln), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)),
		unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if errno != 0 {
		return nil, errno
	}
	return &Socket{fd: int(fd), peer: addrPortOf(&sa)}, nil
}

func addrPortOf(sa *unix.RawSockaddrAny) netip.AddrPort {
	port := func(p *uint16) uint16 {
		b := (*[2]byte)(unsafe.Pointer(p))
		return uint16(b[0])<<8 | uint16(b[1])
	}
	switch sa.Addr.Family {
	case unix.AF_INET:
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(in.Addr), port(&in.Port))
	case unix.AF_INET6:
		in := (*unix.RawSockaddrInet6)(unsafe.Pointer(sa))
		ip := netip.AddrFrom16(in.Addr).Unmap()
		if in.Scope_id != 0 {
			ip = ip.WithZone(strconv.FormatUint(uint64(in.Scope_id), 10))
		}
		return netip.AddrPortFrom(ip, port(&in.Port))
	default:
		return netip.AddrPort{}
	}
}

func (t *tracker) trackSocket(s *Socket) {
	s.tracked.Conn, s.tracked.tracker, s.tracked.since = bareConn{s: s}, t, time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = make(map[*TrackedConn]struct{})
	}
	t.open[&s.tracked] = struct{}{}
}

// Local returns the address that the client connected to, as Peer does the client's.
func (s *Socket) Local() netip.AddrPort {
	var sa unix.RawSockaddrAny
	size := uint32(unsafe.Sizeof(sa))
	_, _, errno := unix.Syscall(unix.SYS_GETSOCKNAME, uintptr(s.fd), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)))
	if errno != 0 {
		return netip.AddrPort{}
	}
	return addrPortOf(&sa)
}

// Take returns the descriptor, which is non-blocking and close-on-exec, and which the caller closes from here on. The
// drain does not wait for it any more. It returns net.ErrClosed where the drain has ended and closed it.
func (s *Socket) Take() (fd int, err error) {
	if s.spent.Swap(true) {
		return -1, net.ErrClosed
	}
	s.forget()
	return s.fd, nil
}

func (s *Socket) forget() { s.tracked.once.Do(func() { s.tracked.tracker.forget(&s.tracked) }) }

// Conn makes the connection one that Accept would have returned, for a program that finds it needs to read it.
func (s *Socket) Conn() (*TrackedConn, error) {
	if s.spent.Swap(true) {
		return nil, net.ErrClosed
	}
	defer s.forget() // when the other is tracked
	file := os.NewFile(uintptr(s.fd), "accepted")
	defer file.Close()
	c, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	return s.tracked.tracker.track(c), nil
}

func closeSocket(fd int) error { return os.NewSyscallError("close", unix.Close(fd)) }
