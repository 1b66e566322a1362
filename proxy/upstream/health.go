package upstream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"
)

// checked takes in what an active check found out.
func (p *Pool) checked(s *Server, err error, now time.Time) {
	s.lastCheck = now
	if err != nil {
		s.lastError, s.lastFailure = cause(err), now
	}
	switch {
	case ours(err):
	case (err == nil) == (s.state != down):
		s.contrary = 0
	case err != nil:
		if s.contrary++; s.contrary >= p.cfg.Health.Fall {
			p.become(s, down, fmt.Sprintf("checks failed in a row: %d, the last: %s", s.contrary, s.lastError), now)
		}
	default:
		if s.contrary++; s.contrary >= p.cfg.Health.Rise {
			s.row = 0
			p.become(s, up, fmt.Sprintf("checks succeeded in a row: %d", s.contrary), now)
		}
	}
}

// watch checks one server again and again, until ctx ends.
func (p *Pool) watch(ctx context.Context, s *Server) {
	for {
		begin := time.Now()
		err := p.ask(ctx, s)
		p.mu.Lock()
		if !p.closed { // what the pool's own end does to a check is no news of the server
			p.checked(s, err, time.Now())
		}
		p.mu.Unlock()
		select {
		case <-time.After(jitter(p.cfg.Health.Interval) - time.Since(begin)):
		case <-ctx.Done():
			return
		}
	}
}

// jitter spreads the checks of many pools and proxies by up to a tenth either way.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*rand.Float64()))
}

// ours tells whether an error is this process's fault, and says nothing about the server.
func ours(err error) bool {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}
