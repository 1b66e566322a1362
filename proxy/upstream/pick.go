package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

var (
	// ErrNoServer is returned by Pick when no server is left: all are out, or have been tried.
	ErrNoServer = errors.New("no server to pick")
	// ErrBusy is returned by Pick when the upstream has as many connections as its max_connections allow.
	ErrBusy = errors.New("too many connections")
)

// Pick chooses a server and counts a connection to it. It never blocks. The caller must release the lease.
//
// The source is the client's address, of which source_hash makes its choice; without a valid one it rotates. Servers of
// this pool that the caller has tried are passed over; release their leases first, since they count for
// max_connections. The error is ErrNoServer or ErrBusy, with the details.
func (p *Pool) Pick(source netip.Addr, tried []*Server) (*Lease, error) {
	p.mu.Lock()
	if most := p.cfg.MaxConnections; most > 0 && p.active >= most && p.anyFree(tried) {
		p.mu.Unlock()
		return nil, fmt.Errorf("upstream %s: %w: all %d of max_connections are in use", p.name, ErrBusy, most)
	}
	s := p.choose(source, tried)
	if s == nil {
		out := p.census(tried)
		p.mu.Unlock()
		return nil, fmt.Errorf("upstream %s: %w: %s", p.name, ErrNoServer, out)
	}
	s.picks++
	s.active.Add(1)
	p.active++
	epoch := s.epoch
	p.mu.Unlock()
	return &Lease{pool: p, server: s, epoch: epoch}, nil
}

func (p *Pool) anyFree(tried []*Server) bool {
	return slices.ContainsFunc(p.servers, func(s *Server) bool { return s.free(tried) })
}

// census says in words why no server is free, with one cause as a sample.
func (p *Pool) census(tried []*Server) string {
	var downs, ejections, tries int
	var sample *Server
	for _, s := range p.servers {
		switch {
		case s.state == up:
			tries++
			continue
		case s.state == down:
			downs++
		default:
			ejections++
		}
		if sample == nil || s.lastFailure.After(sample.lastFailure) {
			sample = s
		}
	}
	var parts []string
	for _, part := range []struct {
		count int
		what  string
	}{{downs, "down"}, {ejections, "ejected"}, {tries, "already tried"}} {
		if part.count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.count, part.what))
		}
	}
	text := fmt.Sprintf("of %d, %s", len(p.servers), strings.Join(parts, ", "))
	if sample != nil && sample.lastError != "" {
		text += fmt.Sprintf(" (%s: %s)", sample.address, sample.lastError)
	}
	return text
}

// A Lease is one connection to a server, or one request. Its methods are safe for concurrent use.
type Lease struct {
	pool     *Pool
	server   *Server
	epoch    uint
	judged   bool // the pool's lock guards both
	released bool
}

// Server returns the server that was picked.
func (l *Lease) Server() *Server { return l.server }

// Failed says that the server did not take the connection, or that the connection died before an answer. Enough of
// these in a row eject the server. Only the first word on a lease counts, this or Succeeded. An error that wraps
// context.Canceled is none: it was the caller who gave up.
func (l *Lease) Failed(err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	now, text := time.Now(), cause(err)
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	if l.judged {
		return
	}
	l.judged = true
	s := l.server
	s.failures++
	if l.pool.onFailure != nil {
		l.pool.onFailure(s.address)
	}
	s.lastError, s.lastFailure = text, now
	if s.epoch == l.epoch && !ours(err) {
		l.pool.failed(s, now)
	}
}

// Succeeded says that the server has answered. A connection that was merely taken is no answer yet, where the
// protocol allows to know better.
func (l *Lease) Succeeded() {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	if l.judged {
		return
	}
	l.judged = true
	if l.server.epoch == l.epoch {
		l.server.row = 0
	}
}

// Release gives the connection back to the count. It may be called several times, and must be called once.
func (l *Lease) Release() {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	if l.released {
		return
	}
	l.released = true
	l.server.active.Add(-1)
	l.pool.active--
}
