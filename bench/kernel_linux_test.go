package bench

import (
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

func TestParseKernel(t *testing.T) {
	const netstat = "TcpExt: SyncookiesSent ListenOverflows ListenDrops TCPTimeouts TCPBacklogDrop TCPSynRetrans\n" +
		"TcpExt: 1 481 482 171 5 151\nIpExt: ListenDrops\nIpExt: 99\n"
	const snmp = "Tcp: RtoAlgorithm MaxConn OutSegs RetransSegs InErrs\nTcp: 1 -1 180506122 173328 0\nUdp: RetransSegs\nUdp: 7\n"
	want := Kernel{481, 482, 5, 173328, 151, 171}
	if got := parseKernel(netstat, snmp); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	for _, odd := range []string{"", "TcpExt: ListenDrops\n", "TcpExt: ListenDrops\nTcpExt: 1 2 x\n", "TcpExt:\nTcpExt:\n"} {
		if got := parseKernel(odd, ""); got.ListenOverflows != 0 {
			t.Errorf("%q: %+v", odd, got)
		}
	}
	if got := want.since(want); got != (Kernel{}) {
		t.Errorf("from now until now: %+v", got)
	}
}

// TestKernelSeesAFullAcceptQueue fills a listener's queue that nobody takes from.
func TestKernelSeesAFullAcceptQueue(t *testing.T) {
	was := kernelNow()
	if was == nil {
		t.Skip("no /proc/net/netstat")
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
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
	to := net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: name.(*syscall.SockaddrInet4).Port}
	for range 4 {
		c, err := net.DialTimeout("tcp", to.String(), 100*time.Millisecond)
		if err == nil {
			defer c.Close()
		}
	}
	if got := kernelNow().since(*was); got.ListenOverflows == 0 || got.ListenDrops == 0 {
		t.Errorf("%+v", got)
	}
}

type tapped struct {
	fake
	look func(syscall.RawConn)
}

func (c *tapped) Tap(look func(syscall.RawConn)) { c.look = look }

func TestTapAsksForRetransmits(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "x")
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var sum tap
	c := &tapped{}
	sum.on(c)
	sum.on(fake{}) // shows nothing
	c.look(raw)
	c.look(raw)
	if sum.connections.Load() != 2 || sum.segments.Load() != 0 {
		t.Errorf("%d connections watched, %d segments sent again", sum.connections.Load(), sum.segments.Load())
	}
	conn.Close()
	if c.look(raw); sum.connections.Load() != 2 {
		t.Error("a closed connection counts as watched")
	}
}
