package stream

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/seed-e3b9a99f/baton/internal/relay"
	"github.com/seed-e3b9a99f/baton/proxy/config"
	"github.com/seed-e3b9a99f/baton/proxy/upstream"
	"github.com/seed-e3b9a99f/baton/upgrader"
)

// A connection of which nothing has to be read first, to a server that is known by number, needs no net.Conn: its bare
// descriptor goes from accept to the relay's loop, which also connects to the server. That costs half the system calls.

// sockets is a listener that gives bare descriptors, as upgrader.NamedListener does on Linux.
type sockets interface {
	AcceptSocket() (*upgrader.Socket, error)
	SetKeepAlive(net.KeepAliveConfig) error
}

// accept takes the next connection from ln, and returns what serves it.
func (s *Server) accept(ln net.Listener) (func(), error) {
	if from, ok := ln.(sockets); ok && !s.plain {
		if every := s.settings.Load().Listener.KeepAlive; every != s.keepAlive {
			s.keepAlive = every
			_ = from.SetKeepAlive(net.KeepAliveConfig{Enable: true, Idle: every, Interval: every}) // 0 is Go's default
		}
		socket, err := from.AcceptSocket()
		if err == nil {
			return func() { s.serveSocket(socket) }, nil
		}
		if !errors.Is(err, errors.ErrUnsupported) {
			return nil, err
		}
		s.plain = true
	}
	c, err := ln.Accept()
	if err != nil {
		return nil, err
	}
	return func() { s.conns.Go(func() { s.serve(c) }) }, nil
}

// serveSocket passes a connection on by its descriptor where that will do. It does not wait.
func (s *Server) serveSocket(socket *upgrader.Socket) {
	settings := s.settings.Load()
	s.mu.Lock()
	paused := s.paused
	s.mu.Unlock()
	up := settings.Upstreams[settings.Listener.Upstream]
	if paused || settings.Listener.Protocol != config.TCP || settings.TLS != nil ||
		up == nil || !up.numeric() || settings.expectsHeader(socket.Peer().Addr()) {
		c, err := socket.Conn()
		if err != nil {
			s.end(&conn{Event: Event{Note: Note{Listener: s.name, Begun: time.Now()}, Source: socket.Peer()}}, Cut, err)
			return
		}
		s.conns.Go(func() { s.serve(c) })
		return
	}
	c := &conn{Event: Event{Note: Note{Listener: s.name, Upstream: up.Pool.Name(), Begun: time.Now()}, Source: socket.Peer()}}
	if c.Source.IsValid() {
		c.Client = c.Source.String()
	}
	var first []byte
	if up.Config.ProxyProtocol != 0 {
		var err error
		if first, err = headerFor(up.Config, socket.Peer(), socket.Local()); err != nil {
			s.refused(c, Reset, err)
			_ = socket.Close()
			s.end(c, Reset, err)
			return
		}
	}
	fd, err := socket.Take()
	if err != nil {
		s.end(c, Cut, err)
		return
	}
	s.try(settings, c, up, fd, first, nil, nil)
}

// try connects a client to a server that was not tried, or resets it. Last is why the one before could not be reached.
func (s *Server) try(settings *Settings, c *conn, up *Upstream, fd int, first []byte, tried []*upstream.Server, last error) {
	for len(tried) <= up.Config.Retries && !s.over() {
		lease, err := up.Pool.Pick(c.Source.Addr(), tried)
		if err != nil {
			if last == nil {
				last = err
			}
			break
		}
		c.lease, c.Server, c.Retries = lease, lease.Server().Address(), len(tried)
		failed := func(err error) {
			lease.Failed(err)
			lease.Release()
			c.lease = nil
		}
		to := target(lease.Server())
		to.Timeout, to.First = up.Config.ConnectTimeout, first
		to.OnFail = func(fd int, err error) {
			failed(err)
			s.try(settings, c, up, fd, first, append(tried, lease.Server()), err)
		}
		err = s.opts.Relays.Connect(fd, to, c.Note.Encode(), s.relayConfig(settings, c))
		if err == nil {
			return
		}
		failed(err)
		tried, last = append(tried, lease.Server()), err
	}
	class := classOfDial(last)
	if s.over() {
		class, last = Cut, relay.ErrAborted
	}
	s.refused(c, class, last)
	s.end(c, class, last) // first, so that whoever sees the reset finds it counted
	relay.Reset(fd)
}

// over tells whether what is left has to end.
func (s *Server) over() bool {
	select {
	case <-s.opts.Done:
		return true
	default:
		return false
	}
}

// target is where a server is.
func target(v *upstream.Server) relay.Target {
	if v.Network() == "unix" {
		return relay.Target{Path: v.Target()}
	}
	addr, _ := netip.ParseAddrPort(v.Target()) // numeric has looked
	return relay.Target{Addr: addr, KeepAlive: net.KeepAliveConfig{Enable: true}}
}

// numeric tells whether every server's address needs no name to be resolved.
func (u *Upstream) numeric() bool {
	for _, server := range u.Config.Servers {
		if _, err := netip.ParseAddrPort(server); err != nil && !strings.HasPrefix(server, "unix:") {
			return false
		}
	}
	return true
}
