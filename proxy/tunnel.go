package proxy

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/seed-e3b9a99f/baton/internal/relay"
	"github.com/seed-e3b9a99f/baton/proxy/httpproxy"
	"github.com/seed-e3b9a99f/baton/proxy/stream"
	"github.com/seed-e3b9a99f/baton/proxy/upstream"
)

// tunnel goes on with connections that have changed from HTTP to another protocol, such as WebSocket. On a plain
// listener they become a relay, which moves to the next generation.
func (p *Proxy) tunnel(t httpproxy.Tunnel) {
	l := p.listenerCalled(t.Listener)
	if l == nil { // closed by a reload a moment ago
		p.copyTunnel(t, 0, func() {})
		return
	}
	s := l.settings.Load()
	note := stream.Note{Listener: t.Listener, Upstream: t.Upstream, Server: t.Address, Protocol: t.Protocol, Begun: time.Now()}
	client, ok := t.Client.(detachable)
	if !ok || s.certs != nil {
		l.open.Add(1)
		p.copyTunnel(t, s.config.IdleTimeout, func() { l.open.Add(-1) })
		return
	}
	if a, err := netip.ParseAddrPort(t.Client.RemoteAddr().String()); err == nil {
		note.Client = a.String()
	}
	l.open.Add(1)
	cfg := relay.Config{OnEnd: func(r relay.Result) {
		defer l.open.Add(-1)
		t.Ended()
		p.tunnelEnded(note, r)
	}}
	if err := p.relays.Relay(detached{client}, t.Server, note.Encode(), cfg); err != nil {
		p.log.Error("tunnel", "listener", t.Listener, "err", err)
	}
}

// detachable is what upgrader.Serve gives: a connection that can be left without a word to the client.
type detachable interface {
	net.Conn
	SyscallConn() (syscall.RawConn, error)
	Detach() error
}

// detached is left when it is closed.
type detached struct{ detachable }

func (d detached) Close() error { return d.Detach() }

// copyTunnel moves the bytes in this process, until both sides have ended or the drain is over.
func (p *Proxy) copyTunnel(t httpproxy.Tunnel, idle time.Duration, ended func()) {
	p.u.Go(func() error {
		defer ended()
		up, down, err := stream.Copy(t.Client, t.Server, idle, p.u.Done())
		t.Ended()
		p.tunnelEnded(stream.Note{Listener: t.Listener, Upstream: t.Upstream, Server: t.Address},
			relay.Result{Stats: relay.Stats{Up: up, Down: down}, Err: err})
		return nil
	})
}

func (p *Proxy) tunnelEnded(n stream.Note, r relay.Result) {
	p.counts.transferred(n.Listener, r.Up, r.Down)
	if class := stream.ClassOf(r.Err); class != "" && class != stream.Reset { // people close their browsers
		p.counts.failed(n.Listener, n.Upstream, string(class))
	}
}

// adoptRelay goes on with a connection that comes from the parent.
func (p *Proxy) adoptRelay(blob []byte) (relay.Config, error) {
	n, err := stream.ParseNote(blob)
	if err != nil {
		return relay.Config{}, err
	}
	if p.running.Load() == nil {
		return relay.Config{}, errors.New("not ready for connections")
	}
	p.counts.moved.With().Inc()
	l := p.listenerCalled(n.Listener)
	if l != nil && l.stream != nil {
		return l.stream.Join(n), nil
	}
	// Of a tunnel, or of a listener that the configuration does not have any more: it goes on all the same.
	var lease *upstream.Lease
	if pool := p.running.Load().pools[n.Upstream]; pool != nil {
		lease = pool.Adopt(n.Server)
	}
	if l != nil {
		l.open.Add(1)
	}
	return relay.Config{OnEnd: func(r relay.Result) {
		if l != nil {
			defer l.open.Add(-1)
		}
		if lease != nil {
			lease.Release()
		}
		p.tunnelEnded(n, r)
	}}, nil
}

func (p *Proxy) listenerCalled(name string) *listener {
	for _, l := range p.running.Load().listeners {
		if l.config.Name == name {
			return l
		}
	}
	return nil
}
