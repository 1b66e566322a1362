package tlsreload

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// publish serves p, if there is something new about it. At the start it is all or nothing.
func (r *Reloader) publish(f *findings, p *proposal, now time.Time) bool {
	was := r.current.Load()
	switch {
	case was != nil && slices.Equal(was.certs, p.certs) && slices.Equal(was.cas, p.cas):
		r.orders = p.orders
		return false
	case was == nil && len(f.problems) > 0:
		return false
	case len(p.certs) == 0:
		f.problem("sources", errors.New("they have no certificate"))
		return false
	}
	s, err := newSnapshot(&r.opts, p.certs, p.cas)
	if err != nil {
		f.problem("options", err)
		return false
	}
	s.generation, s.at = 1, now
	if was != nil {
		s.generation = was.generation + 1
	}
	old := r.Status()
	status := old
	status.Generation, status.Changed = s.generation, now
	status.Certificates, status.ClientCAs = s.describe()
	if was != nil && r.opts.Before != nil {
		if err := r.opts.Before(old, status); err != nil {
			for _, at := range slices.Concat(p.fresh, p.gone) {
				f.problem(at.name, fmt.Errorf("vetoed: %w", err))
			}
			return false
		}
	}
	r.replace(p, s, now)
	r.mu.Lock()
	r.status = status
	r.mu.Unlock()
	r.tell(p)
	if was != nil && r.opts.After != nil {
		r.opts.After(old, status)
	}
	return true
}

// replace makes s what is served.
func (r *Reloader) replace(p *proposal, s *snapshot, now time.Time) {
	was := r.current.Load()
	r.mu.Lock()
	r.current.Store(s)
	for _, f := range r.fronts {
		f.show(s)
	}
	r.mu.Unlock()
	revoked := false
	for at, id := range identities(r.served) {
		if next, _ := p.good[at].(*identity); next == nil || next.fate != id.fate {
			id.fate.replaced.Store(now.UnixNano())
			revoked = revoked || id.fate.revoked.Load()
		}
	}
	if was != nil {
		was.replaced.Store(now.UnixNano())
	}
	r.served, r.orders = p.good, p.orders
	if revoked {
		if err := r.endSessions(); err != nil {
			r.opts.Logger.Error("TLS: sessions of a revoked certificate may still resume", "err", err)
		}
	}
}

// tell logs what is new.
func (r *Reloader) tell(p *proposal) {
	for _, at := range p.fresh {
		switch g := p.good[at].(type) {
		case *identity:
			leaf := g.tls.Leaf
			r.opts.Logger.Info("TLS: certificate", "name", at.name, "serial", serial(leaf), "hosts", strings.Join(g.names(), ","),
				"not_after", leaf.NotAfter.UTC().Format(time.RFC3339))
		case *authorities:
			r.opts.Logger.Info("TLS: client CAs", "name", at.name, "cas", len(g.certs))
		}
	}
	for _, at := range p.gone {
		r.opts.Logger.Info("TLS: gone from its source", "what", at.kind, "name", at.name)
	}
}
