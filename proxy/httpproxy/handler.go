package httpproxy

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/seed-e3b9a99f/baton/proxy/config"
	"github.com/seed-e3b9a99f/baton/proxy/upstream"
)

// Options are what a Handler is made of.
type Options struct {
	Listener config.Listener
	// Upstreams are those that the listener and its routes name. A request for another is answered 503.
	Upstreams map[string]Upstream
	Secure    bool         // clients use TLS: upstreams are told https
	Logger    *slog.Logger // slog.Default where it is nil
	// Observe, if not nil, is called once for each request when all about it has ended, in the request's goroutine.
	Observe func(Exchange)
	// Tunnel, if not nil, takes over both connections after a change of protocol: it closes them and calls Ended. It
	// may return at once. Where it is nil two goroutines copy until both sides have ended.
	Tunnel func(Tunnel)
	// Draining, if not nil, tells whether this process is being replaced: then no connection to a server is kept.
	Draining func() bool
}

// Upstream is where requests can go.
type Upstream struct {
	Pool   *upstream.Pool // stays the caller's to close
	Config config.Upstream
}

// Handler passes requests on. It is safe for concurrent use.
type Handler struct {
	opts       Options
	log        *slog.Logger
	router     *router
	terms      tlsTerms
	forwarding forwarding
	backends   map[string]*backend
	closed     atomic.Bool
}

// backend is an upstream with the connections to its servers.
type backend struct {
	name string
	Upstream
	transports sync.Map // *upstream.Server → transport
}

// New returns the handler of a listener. Close it when its server has ended.
func New(opts Options) *Handler {
	h := &Handler{
		opts: opts, log: opts.Logger,
		router: newRouter(opts.Listener), terms: newTLSTerms(opts.Listener),
		forwarding: forwarding{
			trusted: opts.Listener.HTTP.Trusted, standard: opts.Listener.HTTP.Forwarded, secure: opts.Secure,
		},
		backends: make(map[string]*backend, len(opts.Upstreams)),
	}
	if h.log == nil {
		h.log = slog.Default()
	}
	for name, up := range opts.Upstreams {
		h.backends[name] = &backend{name: name, Upstream: up}
	}
	return h
}

// Close closes the idle connections to servers now, and the others when their requests have been answered; one over h2c
// may stay for a minute after that. Requests are served on.
func (h *Handler) Close() {
	h.closed.Store(true)
	for _, b := range h.backends {
		b.transports.Range(func(_, t any) bool {
			t.(transport).close()
			return true
		})
	}
}

// leaving tells whether connections to servers are to be closed after their request.
func (h *Handler) leaving() bool {
	return h.closed.Load() || h.opts.Draining != nil && h.opts.Draining()
}

// transport returns what asks a server.
func (h *Handler) transport(b *backend, server *upstream.Server) transport {
	if t, ok := b.transports.Load(server); ok {
		return t.(transport)
	}
	dial := func(ctx context.Context) (net.Conn, error) { return b.Pool.Dial(ctx, server) }
	var t transport
	if b.Config.Protocol == "h2c" {
		t = newH2C(server.Address(), dial, b.Config.ResponseTimeout, h.leaving)
	} else {
		t = &http1{
			server: server.Address(), dial: dial, timeout: b.Config.ResponseTimeout, leaving: h.leaving,
			idle: idleConns{limit: b.Config.MaxIdle},
		}
	}
	kept, _ := b.transports.LoadOrStore(server, t)
	return kept.(transport)
}

// ServeHTTP passes a request on, and its answer back. A w that wraps net/http's must have an Unwrap method, as
// http.ResponseController wants it. As with httputil.ReverseProxy, an answer that breaks off ends in a panic with
// http.ErrAbortHandler, which net/http knows.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := serving{h: h, w: w, r: r}
	s.serve()
	if s.aborted {
		panic(http.ErrAbortHandler) // the one way to let a client see that an answer is broken
	}
}
