package httpproxy

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// maxAnswerHead bounds a response's head together with the 1xx ones before it.
const maxAnswerHead = 1 << 20

var errHeadTooLarge = errors.New("the head of the answer is larger than 1 MiB")

// conn is an HTTP/1.1 connection to a server. One request at a time is on it, and nothing is read between two.
type conn struct {
	net.Conn
	r      *bufio.Reader
	w      *bufio.Writer
	alive  func() bool // of one that is idle
	expiry time.Time   // when it has been idle for too long
	reused bool

	timeout   time.Duration
	streaming bool   // a body follows the head
	limited   bool   // a write deadline is set
	tail      []byte // goes with the next write

	headLeft int // bytes that the head may still take; negative when it has been read
	got      int64
	ended    bool // by the server

	mu       sync.Mutex // guards that no deadline for the head is set once that has come
	answered bool
}

// newConn takes c over. A server may take timeout to read something of a request; 0 for ever.
func newConn(c net.Conn, timeout time.Duration) *conn {
	cn := &conn{Conn: c, timeout: timeout}
	cn.r, cn.w = bufio.NewReader(cn), bufio.NewWriter(toServer{cn})
	cn.alive = func() bool { return true }
	if sc, ok := c.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			cn.alive = silence(raw)
		}
	}
	return cn
}

// Read reads from the server, and bounds the head.
func (c *conn) Read(p []byte) (int, error) {
	if c.headLeft == 0 {
		return 0, errHeadTooLarge
	}
	if c.headLeft > 0 {
		p = p[:min(len(p), c.headLeft)]
	}
	n, err := c.Conn.Read(p)
	c.got += int64(n)
	c.ended = c.ended || err == io.EOF
	if c.headLeft > 0 {
		c.headLeft -= n
	}
	return n, err
}

// begin prepares for one more request.
func (c *conn) begin(streaming bool) {
	c.headLeft, c.got = maxAnswerHead, 0
	c.answered, c.streaming = false, streaming
	if c.limited {
		c.limited = false
		_ = c.SetWriteDeadline(time.Time{})
	}
}

// expectAnswer sets how long the head may take from now on.
func (c *conn) expectAnswer() {
	if c.timeout <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.answered {
		_ = c.SetReadDeadline(time.Now().Add(c.timeout))
	}
}

// headRead ends what begin and expectAnswer began.
func (c *conn) headRead() {
	c.headLeft = -1
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answered = true
	if c.timeout > 0 {
		_ = c.SetReadDeadline(time.Time{})
	}
}

// toServer writes to the server. One that takes nothing for so long is as slow as one that does not answer. What is
// shorter than a buffer the kernel takes, unless much has gone before.
type toServer struct{ c *conn }

func (s toServer) Write(p []byte) (int, error) {
	if s.c.timeout > 0 && (s.c.streaming || len(p)+len(s.c.tail) >= s.c.w.Size()) {
		s.c.limited = true
		_ = s.c.SetWriteDeadline(time.Now().Add(s.c.timeout))
	}
	if s.c.tail == nil {
		return s.c.Conn.Write(p)
	}
	both := net.Buffers{p, s.c.tail}
	s.c.tail = nil
	n, err := both.WriteTo(s.c.Conn)
	return int(min(n, int64(len(p)))), err
}

// send writes what the head has left in the buffer, and a small body, in one system call: the server wakes up once.
func (c *conn) send(body []byte) error {
	if len(body) <= c.w.Available() {
		_, _ = c.w.Write(body)
	} else {
		c.tail = body
	}
	return c.w.Flush()
}

// unread tells how many bytes of the server's have been read from the connection and not been used.
func (c *conn) unread() int { return c.r.Buffered() }

// takeUnread returns those bytes.
func (c *conn) takeUnread() []byte {
	b := make([]byte, c.r.Buffered())
	_, _ = io.ReadFull(c.r, b)
	return b
}
