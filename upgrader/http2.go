//lint:file-ignore SA1019 net/http has no way to say GOAWAY in two steps, and x/net has no way that is not deprecated

package upgrader

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

// x/net's server says GOAWAY once, with the last stream that it has seen, and ignores those that are on their way. That
// loses them for a client which does not send again. RFC 9113, section 6.8, has a server say it twice: first that it
// will go, with the highest stream there can be, and after at least a round trip what the last stream was. The first is
// written here, beneath the server.

// goAwayPause is how long a client has to hear of the first GOAWAY.
const goAwayPause = time.Second

// h2Server serves the HTTP/2 connections of an http.Server.
type h2Server struct {
	server *http2.Server
	last   *http.Server // its Shutdown says the second GOAWAY to all connections, and does nothing else
	pause  time.Duration

	mu    sync.Mutex
	conns map[*h2Conn]bool
	going bool
}

func newH2Server(srv *http.Server, drain time.Duration) (*h2Server, error) {
	h := &h2Server{
		server: &http2.Server{}, last: &http.Server{IdleTimeout: srv.IdleTimeout, ReadTimeout: srv.ReadTimeout},
		pause: min(goAwayPause, drain/2), conns: make(map[*h2Conn]bool),
	}
	if err := http2.ConfigureServer(h.last, h.server); err != nil {
		return nil, fmt.Errorf("serve HTTP/2: %w", err)
	}
	return h, nil
}

// nextProtos is for http.Server.TLSNextProto, over TLS and, where http.Server.Protocols has it, in clear text.
func (h *h2Server) nextProtos() map[string]func(*http.Server, *tls.Conn, http.Handler) {
	return map[string]func(*http.Server, *tls.Conn, http.Handler){
		"h2": func(srv *http.Server, c *tls.Conn, handler http.Handler) {
			hc := &h2Conn{Conn: c}
			h.serve(srv, hc, h2TLSConn{hc, c}, handler, false)
		},
		"unencrypted_http2": func(srv *http.Server, c *tls.Conn, handler http.Handler) {
			if clear, ok := c.NetConn().(interface{ UnencryptedNetConn() net.Conn }); ok {
				hc := &h2Conn{Conn: clear.UnencryptedNetConn()}
				h.serve(srv, hc, hc, handler, true) // net/http has read the preface
			}
		},
	}
}

func (h *h2Server) serve(srv *http.Server, hc *h2Conn, c net.Conn, handler http.Handler, preface bool) {
	h.mu.Lock()
	h.conns[hc] = true
	late := h.going // its handshake ended after the others were told
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		delete(h.conns, hc)
		h.mu.Unlock()
	}()
	if late {
		hc.goAway()
		time.AfterFunc(h.pause, h.sayLast)
	}
	opts := &http2.ServeConnOpts{BaseConfig: srv, Handler: handler, SawClientPreface: preface}
	if b, ok := handler.(interface{ BaseContext() context.Context }); ok { // as net/http passes it on
		opts.Context = b.BaseContext()
	}
	h.server.ServeConn(c, opts)
}

// leave tells every connection to go, in two steps.
func (h *h2Server) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.going {
		return
	}
	h.going = true
	for hc := range h.conns {
		go hc.goAway() // it waits for a client that does not read
	}
	time.AfterFunc(h.pause, h.sayLast)
}

// sayLast says the second GOAWAY. It has no connections of its own to wait for.
func (h *h2Server) sayLast() { _ = h.last.Shutdown(context.Background()) }

// h2Conn is an HTTP/2 connection that knows where frames end in what the server writes.
type h2Conn struct {
	net.Conn

	mu      sync.Mutex
	head    [h2FrameHead]byte
	have    int  // bytes of the head
	left    int  // bytes of the payload
	settled bool // the first frame, SETTINGS, has been written
	pending bool // a GOAWAY waits for the end of a frame
}

// h2TLSConn lets the server see the connection's TLS state.
type h2TLSConn struct {
	*h2Conn
	tls *tls.Conn
}

func (c h2TLSConn) ConnectionState() tls.ConnectionState { return c.tls.ConnectionState() }

const h2FrameHead = 9

// firstGoAway is a GOAWAY frame without error that allows every stream.
var firstGoAway = func() []byte {
	const payload, typeGoAway = 8, 7
	b := []byte{0, 0, payload, typeGoAway, 0, 0, 0, 0, 0}
	b = binary.BigEndian.AppendUint32(b, math.MaxInt32)
	return binary.BigEndian.AppendUint32(b, 0)
}()

func (c *h2Conn) goAway() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending = true
	_ = c.flush() // the server finds out by itself
}

// flush writes the GOAWAY if a frame has just ended.
func (c *h2Conn) flush() error {
	if !c.pending || !c.settled || c.have > 0 || c.left > 0 {
		return nil
	}
	c.pending = false
	_, err := c.Conn.Write(firstGoAway)
	return err
}

func (c *h2Conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	written := 0
	for written < len(b) {
		n := c.follow(b[written:])
		m, err := c.Conn.Write(b[written : written+n])
		written += m
		if err == nil {
			err = c.flush()
		}
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// follow moves on in the frames of b, up to the end of one if something waits for that, and returns how far.
func (c *h2Conn) follow(b []byte) int {
	n := 0
	for n < len(b) {
		if c.left == 0 {
			took := copy(c.head[c.have:], b[n:])
			c.have, n = c.have+took, n+took
			if c.have < h2FrameHead {
				break
			}
			c.have = 0
			c.left = int(c.head[0])<<16 | int(c.head[1])<<8 | int(c.head[2])
		}
		took := min(c.left, len(b)-n)
		c.left, n = c.left-took, n+took
		if c.left == 0 && c.have == 0 {
			c.settled = true
			if c.pending {
				break
			}
		}
	}
	return n
}
