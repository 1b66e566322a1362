package upgrader

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// tracker knows the connections that were accepted and not yet closed.
type tracker struct {
	mu    sync.Mutex
	open  map[*TrackedConn]struct{}
	empty chan struct{}   // closed when none is open; nil while nobody waits
	ended <-chan struct{} // when closed, connections linger; nil where they never do
}

// TrackedConn is a connection that Upgrader waits for on a drain. It is what a NamedListener's Accept returns.
type TrackedConn struct {
	net.Conn
	tracker *tracker
	since   time.Time
	once    sync.Once
	closed  atomic.Bool
	reading sync.Mutex // held by a Read
}

func (t *tracker) track(c net.Conn) *TrackedConn {
	tracked := &TrackedConn{Conn: c, tracker: t, since: time.Now()}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = make(map[*TrackedConn]struct{})
	}
	t.open[tracked] = struct{}{}
	return tracked
}

// lingerAfter has connections linger once ended is closed.
func (t *tracker) lingerAfter(ended <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = ended
}

func (t *tracker) lingers() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-t.ended:
		return true
	default:
		return false
	}
}

func (t *tracker) forget(c *TrackedConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, c)
	if len(t.open) == 0 && t.empty != nil {
		close(t.empty)
		t.empty = nil
	}
}

func (t *tracker) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.open)
}

// oldest returns when the connection that is open longest was accepted.
func (t *tracker) oldest() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	var first time.Time
	for c := range t.open {
		if first.IsZero() || c.since.Before(first) {
			first = c.since
		}
	}
	return first
}

// none returns a channel that is closed once no connection is open.
func (t *tracker) none() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.empty == nil {
		t.empty = make(chan struct{})
	}
	done := t.empty
	if len(t.open) == 0 {
		close(done)
		t.empty = nil
	}
	return done
}

// closeAll closes what is open, and returns how many that were.
func (t *tracker) closeAll() int {
	t.mu.Lock()
	all := make([]*TrackedConn, 0, len(t.open))
	for c := range t.open {
		all = append(all, c)
	}
	t.mu.Unlock()
	for _, c := range all {
		_ = c.abort()
	}
	return len(all)
}

// NetConn returns the connection underneath, such as a *net.TCPConn, for its options. Close c and not the connection
// underneath, or the drain waits for it until its deadline.
func (c *TrackedConn) NetConn() net.Conn { return c.Conn }

// ReadFrom lets io.Copy use splice(2) and sendfile(2) where the connection can.
func (c *TrackedConn) ReadFrom(r io.Reader) (int64, error) {
	if rf, ok := c.Conn.(io.ReaderFrom); ok {
		return rf.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, r)
}

// CloseRead shuts down the reading side, where the connection can.
func (c *TrackedConn) CloseRead() error {
	if h, ok := c.Conn.(interface{ CloseRead() error }); ok {
		return h.CloseRead()
	}
	return &net.OpError{Op: "close", Net: c.LocalAddr().Network(), Err: syscall.EOPNOTSUPP}
}

// CloseWrite shuts down the writing side, where the connection can.
func (c *TrackedConn) CloseWrite() error {
	if h, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return &net.OpError{Op: "close", Net: c.LocalAddr().Network(), Err: syscall.EOPNOTSUPP}
}

// SyscallConn gives access to the socket, as of syscall.Conn.
func (c *TrackedConn) SyscallConn() (syscall.RawConn, error) {
	if s, ok := c.Conn.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, syscall.EINVAL
}
