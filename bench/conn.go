package bench

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// dialer opens connections to one address, with TLS if it has a configuration for it.
type dialer struct {
	addr string
	tls  *tls.Config
	tap  func(syscall.RawConn) // looks at each connection just before it is closed; may be nil
}

// resuming returns a dialer that offers the TLS session of its last connection, as the clients of real servers do. Its
// copies share it.
func (d dialer) resuming() dialer {
	if d.tls != nil {
		d.tls = d.tls.Clone()
		d.tls.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	return d
}

// conn is one connection of a client, used by one goroutine.
type conn struct {
	net.Conn // what the client speaks through: the TCP connection, or TLS on it
	wire     *pollConn
	br       *bufio.Reader
	dialled  time.Time
	resumed  bool   // a TLS session from before
	protocol string // agreed on by ALPN, or ""
	served   bool   // a whole answer came on it
	ctx      context.Context
	unhook   func() bool
	tap      func(syscall.RawConn) // see dialer
}

var readers = sync.Pool{New: func() any { return bufio.NewReader(nil) }}

// dial connects, and shakes hands if this is TLS, until deadline. When ctx ends, whatever waits on the connection
// ends too. The error is a *lossError.
func (d *dialer) dial(ctx context.Context, deadline time.Time) (*conn, error) {
	c, err := d.connect(ctx, deadline)
	if err != nil {
		return nil, err
	}
	if err := d.secure(c, c.wire); err != nil {
		c.drop()
		return nil, err
	}
	return c, nil
}

// connect is dial without the handshake. The error is a *lossError.
func (d *dialer) connect(ctx context.Context, deadline time.Time) (*conn, error) {
	dialled := time.Now()
	network := net.Dialer{Deadline: deadline, KeepAlive: -1}
	tcp, err := network.DialContext(ctx, "tcp", d.addr)
	if err != nil {
		loss := classify(phaseConnect, err)
		if d.tls != nil && loss.Class == ResetBeforeResponse {
			loss.Class = HandshakeFailed
		}
		return nil, loss
	}
	raw, err := tcp.(syscall.Conn).SyscallConn()
	if err != nil {
		tcp.Close()
		return nil, classify(phaseConnect, err)
	}
	wire := &pollConn{Conn: tcp, raw: raw}
	c := &conn{Conn: wire, wire: wire, dialled: dialled, ctx: ctx, tap: d.tap}
	c.unhook = context.AfterFunc(ctx, func() { wire.SetDeadline(time.Unix(1, 0)) })
	c.arm(deadline)
	c.br = readers.Get().(*bufio.Reader)
	c.br.Reset(c.Conn)
	return c, nil
}

// secure shakes hands through c's wire, or what stands before it, if this is TLS. The error is a *lossError.
func (d *dialer) secure(c *conn, through net.Conn) error {
	if d.tls == nil {
		return nil
	}
	secure := tls.Client(through, d.tls)
	if err := secure.Handshake(); err != nil {
		return classify(phaseHandshake, err)
	}
	state := secure.ConnectionState()
	c.Conn, c.resumed, c.protocol = secure, state.DidResume, state.NegotiatedProtocol
	c.br.Reset(c.Conn)
	return nil
}

// arm sets the time by which the operation that begins must be over.
func (c *conn) arm(deadline time.Time) {
	c.wire.SetDeadline(deadline)
	if c.ctx.Err() != nil { // the context may have ended just before, and its deadline must win
		c.wire.SetDeadline(time.Unix(1, 0))
	}
}

// close ends the connection as a polite client does, with close_notify on TLS.
func (c *conn) close() {
	c.look()
	c.Conn.Close()
	c.release()
}

// drop ends a connection on which nothing can be said any more.
func (c *conn) drop() {
	c.look()
	c.wire.Conn.Close()
	c.release()
}

func (c *conn) look() {
	if c.tap != nil {
		c.tap(c.wire.raw)
	}
}

func (c *conn) release() {
	c.unhook()
	if c.br != nil {
		c.br.Reset(nil)
		readers.Put(c.br)
		c.br = nil
	}
}

// atRest looks at a connection between two operations without waiting. A nil error: all is quiet, a request may be
// sent. errSpoke: there are bytes that nobody asked for, to be read from c.br. Any other error: the peer has ended it.
//
// It reads through TLS, not past it, because close_notify and session tickets are bytes on the wire too, and may lie
// in TLS's own buffer, where no look at the socket finds them. Half a record stays where it is for the next read.
func (c *conn) atRest() error {
	c.wire.polling = true
	_, err := c.br.Peek(1)
	c.wire.polling = false
	switch {
	case err == nil:
		return errSpoke
	case errors.Is(err, errQuiet):
		return nil
	default:
		return fmt.Errorf("connection at rest: %w", err)
	}
}

// pollConn is a TCP connection whose Read can be told not to wait. It says again how the connection ended as often as
// it is asked: the kernel tells of a reset only once, and bufio.Reader.ReadLine swallows that if half a line came first.
type pollConn struct {
	net.Conn
	raw     syscall.RawConn
	polling bool
	ended   error
}

func (c *pollConn) Read(p []byte) (n int, err error) {
	switch {
	case c.ended != nil:
		return 0, c.ended
	case c.polling:
		n, err = c.readNow(p)
	default:
		n, err = c.Conn.Read(p)
	}
	if err != nil && err != errQuiet && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.ended = err
	}
	return n, err
}

var errSpoke = errors.New("the peer sent what nobody asked for")

// errQuiet is a net.Error that calls itself temporary, because crypto/tls makes every other read error final.
var errQuiet net.Error = quietError{}

type quietError struct{}

func (quietError) Error() string   { return "nothing has arrived" }
func (quietError) Timeout() bool   { return true }
func (quietError) Temporary() bool { return true }
