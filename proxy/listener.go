package proxy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/seed-e3b9a99f/baton/proxy/config"
	"github.com/seed-e3b9a99f/baton/proxy/httpproxy"
	"github.com/seed-e3b9a99f/baton/proxy/stream"
	"github.com/seed-e3b9a99f/baton/tlsreload"
	"github.com/seed-e3b9a99f/baton/upgrader"
)

// listener is a socket that is served. What it is served with may change.
type listener struct {
	p        *Proxy
	fd       string          // its name among the upgrader's
	config   config.Listener // as it was opened; what of it may change is in the settings
	ln       *upgrader.NamedListener
	settings atomic.Pointer[settings]

	stream *stream.Server // of tcp and tls-passthrough
	http   *http.Server   // of http
	open   atomic.Int64   // HTTP connections
	total  atomic.Uint64
}

// settings are how a listener serves. They are swapped as a whole.
type settings struct {
	config  config.Listener
	handler *httpproxy.Handler // of http
	stream  stream.Settings    // of the others
	certs   *tlsreload.Reloader
	tls     *tls.Config // what certs serve with
}

// open binds a listener, or inherits it.
func (p *Proxy) open(c config.Listener) (*listener, error) {
	network, address := config.SplitAddress(c.Address)
	protocol := upgrader.TCP
	switch {
	case c.Protocol == config.HTTP && c.TLS == nil:
		protocol = upgrader.HTTP
	case c.TLS != nil:
		protocol = upgrader.TLS
	}
	l := &listener{p: p, fd: "listener " + c.Address, config: c}
	var err error
	if l.ln, err = p.u.ListenNamed(l.fd, network, address, protocol); err != nil {
		return nil, fmt.Errorf("%w: is the address free, and this host's?", err)
	}
	if c.Protocol == config.HTTP {
		l.http = httpproxy.Server(c, http.HandlerFunc(l.serveHTTP), p.log)
		l.http.ConnState = l.connState
		if c.TLS != nil {
			l.http.TLSConfig = &tls.Config{GetConfigForClient: l.configFor}
		}
		return l, nil
	}
	l.stream = stream.New(c.Name, stream.Options{
		Relays: p.relays, Logger: p.log, Accepted: p.counts.connections.With(c.Name).Inc, Observe: p.observeStream,
		Exit: p.u.Exit(), Done: p.u.Done(),
	})
	return l, nil
}

// newSettings makes what serves a listener from now on. What fails to be made leaves nothing behind.
func (p *Proxy) newSettings(r *running, ch *changes, l *listener, c config.Listener, certs certificates) (*settings, error) {
	s := &settings{config: c, certs: certs.Reloader}
	switch {
	case certs.err != nil:
		return nil, certs.err
	case c.TLS == nil:
	case certs.Reloader == nil:
		before := l.settings.Load()
		s.certs, s.tls = before.certs, before.tls
	case c.Protocol == config.HTTP:
		s.tls = certs.Config("h2", "http/1.1")
	default:
		s.tls = certs.Config(c.TLS.ALPN...)
	}
	if c.Protocol == config.HTTP {
		ups := make(map[string]httpproxy.Upstream)
		for name, pool := range r.pools {
			ups[name] = httpproxy.Upstream{Pool: pool, Config: r.config.Upstreams[name]}
		}
		s.handler = httpproxy.New(httpproxy.Options{
			Listener: c, Upstreams: ups, Secure: c.TLS != nil, Logger: p.log, Observe: p.observeHTTP, Tunnel: p.tunnel,
			Draining: func() bool { return p.u.Phase() >= upgrader.Draining },
		})
		ch.undo = append(ch.undo, s.handler.Close)
		return s, nil
	}
	s.stream = stream.Settings{Listener: c, Upstreams: make(map[string]*stream.Upstream)}
	for name, pool := range r.pools {
		s.stream.Upstreams[name] = &stream.Upstream{Pool: pool, Config: r.config.Upstreams[name]}
	}
	if c.TLS != nil {
		s.stream.TLS = &tls.Config{GetConfigForClient: l.configFor}
	}
	return s, nil
}

// use swaps the settings, and ends what the old ones had for themselves.
func (l *listener) use(s *settings) {
	before := l.settings.Swap(s)
	if l.stream != nil {
		l.stream.Use(s.stream)
	}
	if before == nil {
		return
	}
	if before.handler != nil {
		before.handler.Close()
	}
	if before.certs != nil && before.certs != s.certs {
		_ = before.certs.Close()
	}
}

// retire ends what the settings had, when the listener is no more. Its connections go on with what they have, and those
// who wait for a place, or for the end of maintenance, get in: the queue is emptied now or never.
func (l *listener) retire() {
	s := l.settings.Load()
	if l.stream != nil {
		unlimited := s.stream
		unlimited.Listener.MaxConnections = 0
		l.stream.Use(unlimited)
		l.stream.Pause(false)
	}
	if s.certs != nil {
		_ = s.certs.Close()
	}
	if s.handler != nil {
		s.handler.Close()
	}
}

// serve serves until the listener is removed, or the process replaced or stopped, and its connections have ended.
func (l *listener) serve() error {
	if l.stream != nil {
		return l.stream.Serve(l.ln)
	}
	var ln net.Listener = l.ln
	if pp := l.config.ProxyProtocol; pp != nil {
		ln = stream.WithHeaders(ln, pp)
	}
	if l.config.TLS != nil {
		return l.p.u.ServeTLS(l.http, ln, "", "")
	}
	return l.p.u.Serve(l.http, ln)
}

// configFor is tls.Config.GetConfigForClient: that of the certificates in effect.
func (l *listener) configFor(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	s := l.settings.Load()
	if s.tls == nil {
		return nil, errors.New("no certificates")
	}
	return s.tls.GetConfigForClient(hello)
}

// serveHTTP answers with the handler in effect.
func (l *listener) serveHTTP(w http.ResponseWriter, r *http.Request) {
	s := l.settings.Load()
	if most := s.config.MaxConnections; most > 0 && l.open.Load() > int64(most) {
		w.Header().Set("Retry-After", "1")
		w.Header().Set("Connection", "close")
		http.Error(w, "too many connections", http.StatusServiceUnavailable)
		l.p.counts.failed(l.config.Name, "", "too_many_connections")
		return
	}
	if r.Header.Get("Upgrade") != "" { // it may become a relay
		defer l.p.relays.Hold()()
	}
	s.handler.ServeHTTP(w, r)
}

func (l *listener) connState(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		l.open.Add(1)
		if a, ok := c.(interface{ Adopted() bool }); ok && a.Adopted() {
			return // the parent has counted it
		}
		l.total.Add(1)
		l.p.counts.connections.With(l.config.Name).Inc()
		stream.KeepAlive(c, l.settings.Load().config.KeepAlive)
	case http.StateClosed, http.StateHijacked:
		l.open.Add(-1)
	}
}

// connections returns how many there are, and how many there have been in this process.
func (l *listener) connections() (now int, total uint64) {
	if l.stream != nil {
		return l.stream.Counts()
	}
	return int(l.open.Load()), l.total.Load()
}
