package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-e3b9a99f/baton/internal/relay"
	"github.com/seed-e3b9a99f/baton/internal/relayset"
	"github.com/seed-e3b9a99f/baton/proxy/upstream"
)

// Options are what a Server is made of.
type Options struct {
	Relays *relayset.Set
	Logger *slog.Logger
	// Accepted is called for each connection that is accepted.
	Accepted func()
	// Observe is called once for each connection, when it has ended here. It is not for one that has moved on.
	Observe func(Event)
	// Exit is closed when this process accepts nobody any more, and Done when what is left has to end.
	Exit, Done <-chan struct{}
}

// Server serves one listener.
type Server struct {
	name     string
	opts     Options
	settings atomic.Pointer[Settings]
	ended    context.Context // at Done, or when Serve returns
	conns    sync.WaitGroup

	// Of the goroutine that accepts:
	plain     bool          // the listener has no bare descriptors
	keepAlive time.Duration // as the listener has it

	mu       sync.Mutex
	active   int  // with the one that Serve waits for
	waiting  bool // in Accept
	paused   bool
	accepted uint64
	change   chan struct{} // closed when one of them, or the settings, changes
}

// New returns a server that waits for its settings.
func New(name string, o Options) *Server {
	return &Server{name: name, opts: o, change: make(chan struct{})}
}

// Use has the connections that come from now on served in another way.
func (s *Server) Use(settings Settings) {
	s.settings.Store(&settings)
	s.update(func() {})
}

// Pause has the server accept nobody: clients wait in the kernel's queue.
func (s *Server) Pause(on bool) { s.update(func() { s.paused = on }) }

// Counts returns how many connections there are, and how many there have been in this process.
func (s *Server) Counts() (active int, accepted uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	active = s.active
	if s.waiting {
		active--
	}
	return active, s.accepted
}

func (s *Server) update(fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn()
	close(s.change)
	s.change = make(chan struct{})
}

// leave frees the place that enter or join took.
func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	full := s.full()
	s.active--
	if full {
		close(s.change)
		s.change = make(chan struct{})
	}
}

func (s *Server) full() bool {
	most := s.settings.Load().Listener.MaxConnections
	return most > 0 && s.active >= most
}

// enter waits for settings and for a place for one more connection, and takes it. It tells whether it did before the
// exit.
func (s *Server) enter() bool {
	for {
		s.mu.Lock()
		free, change := s.settings.Load() != nil && !s.paused && !s.full(), s.change
		if free {
			s.active++
			s.waiting = true
		}
		s.mu.Unlock()
		if free {
			return true
		}
		select {
		case <-change:
		case <-s.opts.Exit:
			return false
		}
	}
}

// resume waits until the server is not paused.
func (s *Server) resume() {
	for {
		s.mu.Lock()
		paused, change := s.paused, s.change
		s.mu.Unlock()
		if !paused {
			return
		}
		select {
		case <-change:
		case <-s.opts.Exit: // it was accepted before: it is served
			return
		}
	}
}

// Serve accepts connections from ln until that is closed, and returns when those that stay in this process have ended,
// or at Done.
func (s *Server) Serve(ln net.Listener) error {
	defer s.opts.Relays.Hold()() // a client who has said nothing yet may become a relay after the exit
	var cancel context.CancelFunc
	s.ended, cancel = context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-s.opts.Done:
			cancel()
		case <-s.ended.Done():
		}
	}()
	failing := false
	for s.enter() {
		serve, err := s.accept(ln)
		s.mu.Lock()
		if s.waiting = false; err == nil {
			s.accepted++
		}
		s.mu.Unlock()
		if err != nil {
			s.leave()
			if errors.Is(err, net.ErrClosed) {
				break
			}
			if !failing {
				s.opts.Logger.Warn("accept", "listener", s.name, "err", err) // a full fd table, say
			}
			failing = true
			select {
			case <-time.After(10 * time.Millisecond):
			case <-s.opts.Exit:
			}
			continue
		}
		failing = false
		if s.opts.Accepted != nil {
			s.opts.Accepted()
		}
		serve()
	}
	s.conns.Wait()
	return nil
}

// Join returns what to run a relay with that this listener had in the process before, and counts it.
func (s *Server) Join(n Note) relay.Config {
	s.mu.Lock()
	s.active++
	s.mu.Unlock()
	settings := s.settings.Load()
	var lease *upstream.Lease
	if up := settings.Upstreams[n.Upstream]; up != nil {
		lease = up.Pool.Adopt(n.Server)
	}
	source, _ := netip.ParseAddrPort(n.Client)
	return s.relayConfig(settings, &conn{Event: Event{Note: n, Source: source}, lease: lease})
}

// relayConfig has a relay's end noticed.
func (s *Server) relayConfig(settings *Settings, c *conn) relay.Config {
	return relay.Config{
		IdleTimeout: settings.Listener.IdleTimeout,
		OnEnd: func(r relay.Result) {
			c.Up, c.Down = c.Early+r.Up, r.Down
			s.end(c, ClassOf(r.Err), r.Err)
		},
	}
}

// conn is a connection on its way.
type conn struct {
	Event
	net.Conn        // the client's
	early    []byte // that was read of it, and is the server's
	lease    *upstream.Lease
}

// end frees what a connection took, and tells of it.
func (s *Server) end(c *conn, class Class, err error) {
	if c.lease != nil {
		switch {
		case errors.Is(err, relayset.ErrMoved): // the next process hears what comes of it
		case class == "" || c.Down > 0:
			c.lease.Succeeded()
		case class == Reset && ofServer(err): // it took the connection, and nothing came of it
			c.lease.Failed(err)
		}
		c.lease.Release()
	}
	defer s.leave() // it is counted before the process may end
	if errors.Is(err, relayset.ErrMoved) {
		return
	}
	c.Class, c.Err, c.Duration = class, err, time.Since(c.Begun)
	if s.opts.Observe != nil {
		s.opts.Observe(c.Event)
	}
}

// ofServer tells whether err is the server's doing.
func ofServer(err error) bool {
	side, ok := errors.AsType[*relay.SideError](err)
	return ok && side.Side == "upstream"
}

// refuse ends a connection that was not served, by a reset.
func (s *Server) refuse(c *conn, class Class, err error) {
	if s.ended.Err() != nil {
		class = Cut
	}
	s.refused(c, class, err)
	s.end(c, class, err) // first, so that whoever sees the reset finds it counted
	reset(c.Conn)
}

func (s *Server) refused(c *conn, class Class, err error) {
	s.opts.Logger.Warn("connection refused", "listener", s.name, "upstream", c.Upstream, "server", c.Server,
		"client", c.Source, "sni", c.SNI, "class", class, "err", err)
}

// reset closes c by RST where it can.
func reset(c net.Conn) {
	tcp := tcpOf(c)
	if tcp == nil {
		_ = c.Close()
		return
	}
	_ = tcp.SetLinger(0)
	_ = tcp.Close() // before TLS can say goodbye
	_ = c.Close()
}

// tcpOf returns the connection under c, or nil.
func tcpOf(c net.Conn) *net.TCPConn {
	for {
		if tcp, ok := c.(*net.TCPConn); ok {
			return tcp
		}
		wrapper, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		c = wrapper.NetConn()
	}
}

func (s *Server) serve(raw net.Conn) {
	settings := s.settings.Load()
	c := &conn{Conn: raw, Event: Event{Note: Note{Listener: s.name, Begun: time.Now()}}}
	stop := context.AfterFunc(s.ended, func() { reset(raw) }) // whatever it waits for
	defer stop()
	s.resume()
	KeepAlive(raw, settings.Listener.KeepAlive)
	c.Source = addrPort(raw.RemoteAddr())
	local := addrPort(raw.LocalAddr())
	if settings.expectsHeader(c.Source.Addr()) {
		var err error
		if local, err = c.readHeader(settings.Listener.ProxyProtocol.Timeout, local); err != nil {
			s.refuse(c, BadHeader, err)
			return
		}
	}
	if class, err := s.greet(settings, c); err != nil {
		s.refuse(c, class, err)
		return
	}
	up := settings.route(c.SNI)
	if up == nil {
		s.refuse(c, NoRoute, fmt.Errorf("no route for server name %q", c.SNI))
		return
	}
	c.Upstream = up.Pool.Name()
	server, err := s.connect(c, up)
	if err != nil {
		s.refuse(c, classOfDial(err), err)
		return
	}
	if err := begin(server, up.Config, c, local); err != nil {
		server.Close()
		s.refuse(c, Reset, err)
		return
	}
	stop()
	if settings.TLS != nil {
		s.copyBoth(settings, c, server)
		return
	}
	if c.Source.IsValid() {
		c.Client = c.Source.String()
	}
	if err := s.opts.Relays.Relay(c.Conn, server, c.Note.Encode(), s.relayConfig(settings, c)); err != nil {
		s.opts.Logger.Error("relay", "listener", s.name, "err", err)
	}
}

// connect takes a server and connects to it. One that cannot be reached is passed over for another.
func (s *Server) connect(c *conn, up *Upstream) (net.Conn, error) {
	var tried []*upstream.Server
	var last error
	for range 1 + up.Config.Retries {
		lease, err := up.Pool.Pick(c.Source.Addr(), tried)
		if err != nil {
			if last != nil {
				return nil, last
			}
			return nil, err
		}
		c.Retries, c.Server = len(tried), lease.Server().Address()
		server, err := up.Pool.Dial(s.ended, lease.Server())
		if err == nil {
			c.lease = lease
			return server, nil
		}
		lease.Failed(err)
		lease.Release()
		tried, last = append(tried, lease.Server()), err
	}
	return nil, last
}

// KeepAlive has the kernel ask after a peer that says nothing. A listener from a parent does not know the setting.
func KeepAlive(c net.Conn, every time.Duration) {
	if every <= 0 {
		return
	}
	if tcp := tcpOf(c); tcp != nil {
		_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: every, Interval: every})
	}
}

func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		ap := t.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}
