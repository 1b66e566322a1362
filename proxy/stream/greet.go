package stream

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/seed-e3b9a99f/baton/internal/relay"
	"github.com/seed-e3b9a99f/baton/proxy/config"
)

// handshakeTimeout is how long a client may take for its part of a TLS handshake.
const handshakeTimeout = 10 * time.Second

// greet does what comes before the bytes that are passed on: the TLS handshake, or a look at the ClientHello.
func (s *Server) greet(settings *Settings, c *conn) (Class, error) {
	switch {
	case settings.TLS != nil:
		client := tls.Server(&unreadConn{Conn: c.Conn, early: c.early}, settings.TLS)
		c.early = nil
		ctx, cancel := context.WithTimeout(s.ended, handshakeTimeout)
		defer cancel()
		if err := client.HandshakeContext(ctx); err != nil {
			return Handshake, fmt.Errorf("TLS handshake: %w", err)
		}
		c.SNI = client.ConnectionState().ServerName
		c.Conn = client
	case settings.Listener.Protocol == config.TLSPassthrough:
		_ = c.SetReadDeadline(time.Now().Add(settings.Listener.PeekTimeout))
		sni, hello, err := peekHello(io.MultiReader(bytes.NewReader(c.early), c.Conn))
		if err != nil {
			return BadHello, fmt.Errorf("look for the server name: %w", err)
		}
		_ = c.SetReadDeadline(time.Time{})
		c.SNI, c.early = sni, hello
	}
	return "", nil
}

// maxHello is in bytes: a ClientHello with post-quantum keys has two thousand.
const maxHello = 64 << 10

var (
	errPeeked  = errors.New("peeked")
	errTooLong = fmt.Errorf("more than %d bytes", maxHello)
)

// peekHello returns the server name of a ClientHello, and all that it has read. crypto/tls does the parsing: a server
// that stops when it has seen the ClientHello.
func peekHello(r io.Reader) (sni string, read []byte, err error) {
	var seen bytes.Buffer
	peeked := false
	server := tls.Server(&helloConn{r: io.TeeReader(io.LimitReader(r, maxHello), &seen)}, &tls.Config{
		MinVersion: tls.VersionTLS10,
		GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			sni, peeked = h.ServerName, true
			return nil, errPeeked
		},
	})
	err = server.Handshake()
	switch {
	case peeked:
		return sni, seen.Bytes(), nil
	case seen.Len() >= maxHello:
		return "", nil, errTooLong
	case err == nil:
		return "", nil, errors.New("no ClientHello")
	default:
		return "", nil, err
	}
}

// helloConn reads and says nothing.
type helloConn struct {
	net.Conn // nil: what is not below is not called
	r        io.Reader
}

func (c *helloConn) Read(b []byte) (int, error)       { return c.r.Read(b) }
func (c *helloConn) Write(b []byte) (int, error)      { return len(b), nil }
func (c *helloConn) Close() error                     { return nil }
func (c *helloConn) SetWriteDeadline(time.Time) error { return nil }

// unreadConn returns first what was read of it already.
type unreadConn struct {
	net.Conn
	early []byte
}

func (c *unreadConn) Read(b []byte) (int, error) {
	if len(c.early) > 0 {
		n := copy(b, c.early)
		c.early = c.early[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}

// NetConn returns the connection underneath.
func (c *unreadConn) NetConn() net.Conn { return c.Conn }

// begin sends the server what comes before the client's bytes, and what was read of those.
func begin(server net.Conn, up config.Upstream, c *conn, local netip.AddrPort) error {
	head, err := headerFor(up, c.Source, local)
	if err != nil {
		return err
	}
	if head = append(head, c.early...); len(head) == 0 {
		return nil
	}
	_ = server.SetWriteDeadline(time.Now().Add(up.ConnectTimeout))
	if _, err := server.Write(head); err != nil {
		return fmt.Errorf("first bytes to %s: %w", c.Server, &relay.SideError{Side: "upstream", Err: err})
	}
	c.Early = uint64(len(c.early))
	c.Up = c.Early
	return server.SetWriteDeadline(time.Time{})
}

// headerFor is the PROXY header that an upstream wants, or nil.
func headerFor(up config.Upstream, client, local netip.AddrPort) ([]byte, error) {
	if up.ProxyProtocol == 0 {
		return nil, nil
	}
	var source, destination net.Addr
	if client.IsValid() && local.IsValid() {
		source, destination = net.TCPAddrFromAddrPort(client), net.TCPAddrFromAddrPort(local)
	}
	head, err := proxyproto.HeaderProxyFromAddrs(byte(up.ProxyProtocol), source, destination).Format()
	if err != nil {
		return nil, fmt.Errorf("PROXY header: %w", err)
	}
	return head, nil
}
