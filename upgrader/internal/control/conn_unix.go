//go:build unix

package control

import (
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Conn is one end of the channel. Send may be called from several goroutines, Receive from one at a time.
type Conn struct {
	uc     *net.UnixConn
	stream bool // the socket keeps no message boundaries (macOS has no SOCK_SEQPACKET for Unix sockets)

	write    sync.Mutex
	seq      uint32
	writeErr error // half a frame has been written to a stream: nothing may follow it

	state stateSender

	in, oob []byte // Receive's
	readErr error  // a stream's next byte may be anywhere in a frame
}

// New makes a channel of an inherited or received socket. It takes ownership of f and closes it.
func New(f *os.File) (*Conn, error) {
	defer f.Close()
	nc, err := net.FileConn(f) // a close-on-exec dup
	if err != nil {
		return nil, fmt.Errorf("control channel: %w", err)
	}
	uc, ok := nc.(*net.UnixConn)
	if !ok {
		nc.Close()
		return nil, fmt.Errorf("control channel: a %T is no Unix socket", nc)
	}
	network := uc.LocalAddr().Network()
	if network != "unix" && network != "unixpacket" { // a datagram socket would never tell that its peer died
		uc.Close()
		return nil, fmt.Errorf("control channel: a %s socket has no end", network)
	}
	return &Conn{
		uc:     uc,
		stream: network == "unix",
		in:     make([]byte, headerSize+MaxPayload),
		oob:    make([]byte, unix.CmsgSpace(MaxFiles*4)),
	}, nil
}

// Close closes this end. A Receive that waits returns an error.
func (c *Conn) Close() error { return c.uc.Close() }

// File returns a duplicate of this end, to be sent to another process. The caller closes it.
func (c *Conn) File() (*os.File, error) {
	raw, err := c.uc.SyscallConn()
	if err != nil {
		return nil, err
	}
	var file *os.File
	var dupErr error
	if err := raw.Control(func(fd uintptr) {
		dup, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			dupErr = os.NewSyscallError("fcntl", err)
			return
		}
		file = os.NewFile(uintptr(dup), "control")
	}); err != nil {
		return nil, err
	}
	return file, dupErr
}

// SetReadDeadline bounds a Receive, as of net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.uc.SetReadDeadline(t) }

// SetWriteDeadline bounds a Send, as of net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.uc.SetWriteDeadline(t) }

// Send writes one frame. The caller still owns m.Files; the receiver gets duplicates. Seq is set here.
func (c *Conn) Send(m Message) error {
	if len(m.Payload) > MaxPayload || len(m.Files) > MaxFiles {
		return fmt.Errorf("send control frame of kind %d: %d bytes and %d fds are more than %d and %d",
			m.Kind, len(m.Payload), len(m.Files), MaxPayload, MaxFiles)
	}
	c.write.Lock()
	defer c.write.Unlock()
	err := c.writeErr
	if err == nil {
		c.seq++
		m.Seq = c.seq
		frame := append(appendHeader(make([]byte, 0, headerSize+len(m.Payload)), m), m.Payload...)
		err = WithFds(m.Files, func(fds []int) error { return c.writeFrame(frame, fds) })
	}
	if err != nil {
		return fmt.Errorf("send control frame of kind %d: %w", m.Kind, err)
	}
	return nil
}

func (c *Conn) writeFrame(frame []byte, fds []int) error {
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	n, _, err := c.uc.WriteMsgUnix(frame, oob, nil)
	if err != nil || n == len(frame) {
		return err
	}
	// Only a stream writes less than was asked. The fds went with the first byte.
	if _, err = c.uc.Write(frame[n:]); err != nil {
		c.writeErr = fmt.Errorf("a frame was cut short: %w", err)
	}
	return c.writeErr
}
