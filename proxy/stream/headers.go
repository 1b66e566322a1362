package stream

import (
	"bufio"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/seed-e3b9a99f/baton/proxy/config"
)

// WithHeaders returns ln with connections from trusted networks that have to begin with a PROXY header: RemoteAddr is
// then the client that it names. It is for servers that are not of this package, such as net/http's.
func WithHeaders(ln net.Listener, pp *config.ProxyProtocol) net.Listener {
	return &headerListener{Listener: ln, settings: Settings{Listener: config.Listener{ProxyProtocol: pp}}}
}

type headerListener struct {
	net.Listener
	settings Settings
}

// Accept does not wait for the header: what first asks for the address, or reads, does.
func (l *headerListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil || !l.settings.expectsHeader(addrPort(c.RemoteAddr()).Addr()) {
		return c, err
	}
	return &headerConn{Conn: c, timeout: l.settings.Listener.ProxyProtocol.Timeout}, nil
}

type headerConn struct {
	net.Conn
	timeout time.Duration
	once    sync.Once
	r       *bufio.Reader
	remote  net.Addr
	err     error
}

func (c *headerConn) parse() {
	c.once.Do(func() {
		c.remote, c.r = c.Conn.RemoteAddr(), bufio.NewReader(c.Conn)
		_ = c.Conn.SetReadDeadline(time.Now().Add(c.timeout))
		h, err := parseHeader(c.r)
		if err != nil {
			c.err = fmt.Errorf("no PROXY header from %s, which is a trusted network: %w", c.remote, err)
			_ = c.Conn.Close()
			return
		}
		_ = c.Conn.SetReadDeadline(time.Time{})
		if !h.Command.IsLocal() && addrPort(h.SourceAddr).IsValid() {
			c.remote = h.SourceAddr
		}
	})
}

// RemoteAddr is the client's address, as the header has it.
func (c *headerConn) RemoteAddr() net.Addr {
	c.parse()
	return c.remote
}

func (c *headerConn) Read(b []byte) (int, error) {
	c.parse()
	switch {
	case c.err != nil:
		return 0, c.err
	case c.r.Buffered() > 0:
		return c.r.Read(b)
	default:
		return c.Conn.Read(b)
	}
}

// NetConn returns the connection underneath.
func (c *headerConn) NetConn() net.Conn { return c.Conn }
