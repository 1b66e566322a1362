package upgrader

import (
	"io"
	"net"
	"time"
)

// A close while the client still sends makes the kernel answer with RST, which takes along what the client has not read
// yet: the end of the last response, where requests were pipelined behind it (RFC 9112, section 9.6). So the last close
// of a drained HTTP connection reads on for a while.
const (
	lingerIdle = 2 * time.Second  // without a byte from the client
	lingerMost = 30 * time.Second // in all
)

// linger ends a connection without a reset. The caller has set closed.
func (c *TrackedConn) linger() {
	defer c.abort()
	_ = c.Conn.SetReadDeadline(longAgo) // ends a Read of the program
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.CloseWrite() != nil {
		return
	}
	end := time.Now().Add(lingerMost)
	buf := make([]byte, 4<<10)
	for now := time.Now(); now.Before(end); now = time.Now() {
		_ = c.Conn.SetReadDeadline(now.Add(lingerIdle))
		if _, err := c.Conn.Read(buf); err != nil {
			return
		}
	}
}

// abort closes the connection at once.
func (c *TrackedConn) abort() error {
	c.closed.Store(true)
	err := c.Conn.Close()
	c.once.Do(func() { c.tracker.forget(c) })
	return err
}

// Close closes the connection, and ends its being waited for. In a process that is ending, it returns while one that
// Serve serves is still being closed.
func (c *TrackedConn) Close() error {
	if !c.tracker.lingers() {
		return c.abort()
	}
	if c.closed.Swap(true) {
		return c.errClosed("close")
	}
	go c.linger()
	return nil
}

// Detach closes this descriptor of the connection at once, and ends its being waited for. It is for those who have
// duplicated it, and go on with that: nothing is said to the client, as Close might in a process that is ending.
func (c *TrackedConn) Detach() error { return c.abort() }

// Read reads from the connection, as net.Conn's.
func (c *TrackedConn) Read(b []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.closed.Load() {
		return 0, c.errClosed("read")
	}
	n, err := c.Conn.Read(b)
	if err != nil && err != io.EOF && c.closed.Load() {
		err = c.errClosed("read")
	}
	return n, err
}

// Write writes to the connection, as net.Conn's.
func (c *TrackedConn) Write(b []byte) (int, error) {
	if c.closed.Load() {
		return 0, c.errClosed("write")
	}
	return c.Conn.Write(b)
}

func (c *TrackedConn) errClosed(op string) error {
	return &net.OpError{Op: op, Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: net.ErrClosed}
}
