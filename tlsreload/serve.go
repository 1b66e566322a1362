package tlsreload

import (
	"context"
	"crypto/tls"
	"slices"
	"strings"
	"sync/atomic"
)

// Config returns a configuration that always serves what is current. nextProtos are offered by ALPN (RFC 7301): they
// have to be given here and not set later, and an HTTP server needs "h2" and "http/1.1", which Attach gives. The caller
// may change everything else of the Config but GetConfigForClient, to no effect: put it in Options.Base.
func (r *Reloader) Config(nextProtos ...string) *tls.Config {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.fronts[strings.Join(nextProtos, "\x00")]
	if f == nil {
		f = &front{r: r, nextProtos: slices.Clone(nextProtos)}
		f.show(r.current.Load())
		r.fronts[strings.Join(nextProtos, "\x00")] = f
	}
	return &tls.Config{GetConfigForClient: f.configFor, NextProtos: slices.Clone(nextProtos)}
}

// front is one of the Reloader's faces to clients: what it serves, with some protocols.
type front struct {
	r          *Reloader
	nextProtos []string
	shown      atomic.Pointer[shown]
}

// shown is a snapshot with what crypto/tls needs of it.
type shown struct {
	snapshot *snapshot
	configs  map[*trustDomain]*tls.Config
	refusal  *tls.Config // for names that are none of ours
}

// show has f serve s from now on.
func (f *front) show(s *snapshot) {
	next := &shown{snapshot: s, configs: make(map[*trustDomain]*tls.Config)}
	for _, d := range s.domains {
		next.configs[d] = f.r.configOf(s, d, f.nextProtos)
		f.r.tickets.use(next.configs[d], d.id)
	}
	next.refusal = f.r.configOf(s, s.domains[0], f.nextProtos)
	next.refusal.SessionTicketsDisabled = true
	before := f.shown.Swap(next)
	if before == nil {
		return
	}
	for _, config := range before.configs {
		f.r.tickets.forget(config)
	}
}

func (r *Reloader) configOf(s *snapshot, d *trustDomain, nextProtos []string) *tls.Config {
	c := &tls.Config{}
	if r.opts.Base != nil {
		c = r.opts.Base.Clone()
	}
	c.Certificates, c.GetConfigForClient = nil, nil
	c.SessionTicketsDisabled, c.WrapSession, c.UnwrapSession = false, nil, nil
	c.NextProtos = nextProtos
	c.MinVersion = max(c.MinVersion, d.host.MinVersion)
	c.ClientAuth, c.ClientCAs = d.host.ClientAuth, nil
	if d.cas != nil {
		c.ClientCAs = d.cas.pool
	}
	c.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		id := s.choose(hello)
		if id == nil {
			return nil, nil // unrecognized_name
		}
		if conn := connOf(hello.Context()); conn != nil {
			conn.certificate.Store(id)
		}
		return &id.tls, nil
	}
	verify := c.VerifyConnection
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		if cs.DidResume {
			r.resumed.Add(1)
		} else {
			r.full.Add(1)
		}
		if verify != nil {
			return verify(cs)
		}
		return nil
	}
	return c
}

// configFor is tls.Config.GetConfigForClient.
func (f *front) configFor(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	now := f.shown.Load()
	if conn := connOf(hello.Context()); conn != nil {
		conn.made.Store(now.snapshot)
	}
	if now.snapshot.strict && !now.snapshot.knows(hello.ServerName) {
		return now.refusal, nil
	}
	return now.configs[now.snapshot.domainOf(hello.ServerName)], nil
}

type connKey struct{}

// connState is what a connection remembers of its handshake.
type connState struct {
	made        atomic.Pointer[snapshot]
	certificate atomic.Pointer[identity] // nil where a session was resumed
}

func connOf(ctx context.Context) *connState {
	c, _ := ctx.Value(connKey{}).(*connState)
	return c
}
