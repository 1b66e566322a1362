package httpproxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Tunnel is a client's connection and a server's after both have changed to another protocol, such as WebSocket. What
// either had sent along with its part of the handshake has been passed on.
type Tunnel struct {
	Client   net.Conn // as it was hijacked from net/http: what the listener accepted, or a *tls.Conn over that
	Server   net.Conn // as Pool.Dial returned it
	Listener string
	Upstream string
	Address  string // of the server, as configured
	Protocol string // such as websocket
	Ended    func() // frees the place that the tunnel takes in the upstream's max_connections; to be called once
}

// handshakeTimeout is how long a side may take to read what the other had sent along with the handshake.
const handshakeTimeout = 10 * time.Second

// change passes a 101 on and lets both sides speak as they like. It returns why it could not.
func (s *serving) change(a *answer, ended func()) *failure {
	c := a.conn
	if !a.forget() {
		_ = c.Close()
		ended()
		return &failure{class: ClientGone, err: s.r.Context().Err()}
	}
	client, rw, err := http.NewResponseController(s.w).Hijack()
	if err != nil {
		_ = c.Close()
		ended()
		return &failure{class: BadRequest, err: fmt.Errorf("change to %s: %w", s.out.upgrade, err)}
	}
	s.ex.Status = http.StatusSwitchingProtocols
	s.hijacked = true
	if f := pass(client, rw.Reader, a); f != nil {
		_ = client.Close()
		_ = c.Close()
		ended()
		return f
	}
	t := Tunnel{
		Client: client, Server: c.Conn, Listener: s.ex.Listener, Upstream: s.ex.Upstream, Address: s.ex.Server,
		Protocol: a.Header.Get("Upgrade"), Ended: ended,
	}
	if s.h.opts.Tunnel != nil {
		s.h.opts.Tunnel(t)
		return nil
	}
	defer ended()
	s.ex.BytesIn, s.ex.BytesOut = join(client, c.Conn)
	return nil
}

// pass writes the server's answer to the client, and to both what came glued to the handshake.
func pass(client net.Conn, from *bufio.Reader, a *answer) *failure {
	c := a.conn
	until := time.Now().Add(handshakeTimeout)
	_ = client.SetDeadline(until) // of net/http's own ones, too, this is the end
	_ = c.SetDeadline(until)
	w := bufio.NewWriter(client)
	fields := make(http.Header, len(a.Header)+2)
	copyFields(fields, a.Header)
	fields["Connection"], fields["Upgrade"] = []string{"Upgrade"}, a.Header["Upgrade"][:1]
	_, _ = w.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	_ = fields.Write(w)
	_, _ = w.WriteString("\r\n")
	_, _ = w.Write(c.takeUnread())
	if err := w.Flush(); err != nil {
		return &failure{class: ClientGone, err: fmt.Errorf("write 101 to client: %w", err)}
	}
	early, err := from.Peek(from.Buffered())
	if err == nil && len(early) > 0 {
		_, err = c.Write(early)
	}
	if err != nil {
		return &failure{class: Reset, err: fmt.Errorf("server %s: pass on what came with the handshake: %w", a.from.server, err)}
	}
	_ = client.SetDeadline(time.Time{})
	_ = c.SetDeadline(time.Time{})
	return nil
}

// join copies both ways until both have ended, and closes both connections. It returns how many bytes came from the
// client and went to it.
func join(client, server net.Conn) (in, out int64) {
	var running sync.WaitGroup
	var failed atomic.Bool
	move := func(to, from net.Conn, n *int64) {
		var err error
		if *n, err = io.Copy(to, from); err == nil {
			half, ok := to.(interface{ CloseWrite() error })
			if ok && half.CloseWrite() == nil {
				return
			}
		}
		if !failed.Swap(true) { // an end that cannot be passed on is the end of both
			_ = client.Close()
			_ = server.Close()
		}
	}
	running.Go(func() { move(server, client, &in) })
	move(client, server, &out)
	running.Wait()
	_ = client.Close()
	_ = server.Close()
	return in, out
}
