package upstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/seed-e3b9a99f/baton/proxy/config"
)

// Options are what a pool may be told beside its configuration. The zero value is fine.
type Options struct {
	// Logger gets one line for each change of a server's state; nil means none.
	Logger *slog.Logger
	// Knowledge is what an earlier generation, or the pool of an earlier configuration, knew. What it says of servers
	// that the configuration does not name is ignored.
	Knowledge []Knowledge
	// OnFailure, if not nil, is called with a server's address for each lease of it that failed. It must not block.
	OnFailure func(server string)
}

// A Pool is the servers of one upstream. Its methods are safe for concurrent use.
type Pool struct {
	name      string
	given     config.Upstream // as the caller gave it, for Matches
	cfg       config.Upstream // with defaults
	onFailure func(string)
	log       *slog.Logger
	servers   []*Server
	ask       func(context.Context, *Server) error // one active check; nil without them

	stop context.CancelFunc
	done sync.WaitGroup
	wake chan struct{} // tells keep that there is news

	mu     sync.Mutex
	in     int // servers that are up
	active int // leases that are not released
	news   []change
	closed bool // nobody ends ejections any more, so none may begin
}

// New makes a pool and starts its health checks, which run until Close. Where the configuration leaves out a time, a
// count or the way to balance, the defaults of a configuration file hold. An error says what is wrong with cfg.
func New(name string, cfg config.Upstream, opts Options) (*Pool, error) {
	p, err := newPool(name, cfg, opts)
	if err != nil {
		return nil, fmt.Errorf("upstream %s: %w", name, err)
	}
	p.start()
	return p, nil
}

func newPool(name string, cfg config.Upstream, opts Options) (*Pool, error) {
	p := &Pool{name: name, given: clone(cfg), cfg: withDefaults(clone(cfg)), log: opts.Logger, onFailure: opts.OnFailure, wake: make(chan struct{}, 1)}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	switch p.cfg.Balance {
	case config.RoundRobin, config.LeastConn, config.SourceHash:
	default:
		return nil, fmt.Errorf("balance %q: give round_robin, least_conn or source_hash", p.cfg.Balance)
	}
	if len(cfg.Servers) == 0 {
		return nil, errors.New("no servers: give at least one")
	}
	for i, address := range cfg.Servers {
		if slices.Contains(cfg.Servers[:i], address) {
			return nil, fmt.Errorf("server %q is given twice: give it once", address)
		}
		s, err := newServer(address)
		if err != nil {
			return nil, err
		}
		p.servers = append(p.servers, s)
	}
	if p.cfg.Health != nil {
		var err error
		if p.ask, err = question(p.cfg); err != nil {
			return nil, err
		}
	}
	p.in = len(p.servers)
	p.inherit(opts.Knowledge, time.Now())
	return p, nil
}

func (p *Pool) start() {
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	p.done.Go(func() { p.keep(ctx) })
	if p.ask == nil {
		return
	}
	for _, s := range p.servers {
		p.done.Go(func() { p.watch(ctx, s) })
	}
}

// Close stops the health checks and waits until they have ended. Leases stay valid, and so does Pick.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.stop()
	p.done.Wait()
}

// Name returns the upstream's name.
func (p *Pool) Name() string { return p.name }

// Matches tells whether cfg is what the pool was made with, so that it may live on through a configuration change.
func (p *Pool) Matches(cfg config.Upstream) bool { return reflect.DeepEqual(p.given, cfg) }

// Dial connects to a server within the configuration's connect_timeout, and within ctx. The caller owns the connection.
// The error names the upstream, the server and the cause, and wraps what net.Dialer returned.
func (p *Pool) Dial(ctx context.Context, s *Server) (net.Conn, error) {
	dialer := net.Dialer{Timeout: p.cfg.ConnectTimeout}
	conn, err := dialer.DialContext(ctx, s.network, s.target)
	if err == nil {
		return conn, nil
	}
	dialed := &dialError{upstream: p.name, server: s.address, err: err}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() && ctx.Err() == nil {
		dialed.within = p.cfg.ConnectTimeout
	}
	return nil, dialed
}

// dialError says what Dial wanted. Logs and statuses, which name upstream and server already, take the cause alone.
type dialError struct {
	upstream, server string
	within           time.Duration // connect_timeout, if that ended it
	err              error
}

func (e *dialError) Unwrap() error { return e.err }

func (e *dialError) Error() string {
	return "upstream " + e.upstream + ": server " + e.server + ": " + e.cause()
}

func (e *dialError) cause() string {
	if e.within > 0 {
		return fmt.Sprintf("no connection within %v (connect_timeout): %v", e.within, e.err)
	}
	return e.err.Error()
}

func clone(cfg config.Upstream) config.Upstream {
	cfg.Servers = slices.Clone(cfg.Servers)
	if cfg.Health != nil {
		health := *cfg.Health
		cfg.Health = &health
	}
	return cfg
}

// withDefaults fills in what a pool made by a program, not by a file, may have left out. It writes to cfg.Health.
func withDefaults(cfg config.Upstream) config.Upstream {
	orElse(&cfg.Balance, config.RoundRobin)
	orElse(&cfg.Protocol, "http1")
	orElse(&cfg.ConnectTimeout, 5*time.Second)
	orElse(&cfg.Ejection.Duration, 10*time.Second)
	if cfg.Health != nil {
		orElse(&cfg.Health.Interval, 5*time.Second)
		orElse(&cfg.Health.Timeout, 2*time.Second)
		orElse(&cfg.Health.Fall, 3)
		orElse(&cfg.Health.Rise, 2)
	}
	return cfg
}

func orElse[T comparable](value *T, otherwise T) {
	var zero T
	if *value == zero {
		*value = otherwise
	}
}
