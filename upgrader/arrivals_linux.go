package upgrader

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// stopArrivals keeps new connections from a listener whose queue is about to be drained, so that none is accepted by
// the kernel between the last Accept and the close, which would reset it. Connections whose handshake is under way
// still come through.
func stopArrivals(ln interface {
	syscall.Conn
	Addr() net.Addr
}) {
	raw, err := ln.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		switch ln.Addr().(type) {
		case *net.TCPAddr:
			_ = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, dropSYN)
		case *net.UnixAddr:
			// connect(2) is refused from now on; accept(2) returns what is queued, then EINVAL.
			_ = unix.Shutdown(int(fd), unix.SHUT_RD)
		}
	})
}

// dropSYN is a socket filter (Documentation/networking/filter.rst) that a listener's segments pass, header first: it
// drops those with SYN and without ACK. The client tries again, and then finds that nobody listens.
var dropSYN = func() *unix.SockFprog {
	const tcpFlags, syn, ack = 13, 0x02, 0x10
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: tcpFlags},
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: syn | ack},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: syn, Jt: 0, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xffffffff},
	}
	return &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
}()
