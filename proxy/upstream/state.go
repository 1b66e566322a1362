package upstream

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// state is where a server stands; doc.go has the moves.
type state string

const (
	up      state = "up"
	down    state = "down"
	ejected state = "ejected"
)

// change is a line of the log that has not been written yet.
type change struct {
	level    slog.Level
	message  string
	server   string
	from, to state
	why      string
}

// become moves a server to another state, which is not the one it is in. It holds the pool's lock, as all here do that
// take the time as an argument.
func (p *Pool) become(s *Server, to state, why string, now time.Time) {
	from := s.state
	s.state, s.since, s.contrary = to, now, 0
	s.changes++
	level := slog.LevelWarn
	if to == up {
		level = slog.LevelInfo
		p.in++
	} else if from == up {
		p.in--
	}
	if to != ejected {
		s.until = time.Time{}
	}
	p.tell(change{level, "server is " + string(to), s.address, from, to, why})
	if p.in == 0 {
		p.needEjected(now)
	}
}

// needEjected takes in all that are ejected, because they are all there is.
func (p *Pool) needEjected(now time.Time) {
	for _, s := range p.servers {
		if s.state == ejected {
			p.become(s, up, "no other server is in", now)
		}
	}
}

// tell has keep write a line. Loggers may block, and Pick must not.
func (p *Pool) tell(c change) {
	p.news = append(p.news, c)
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// keep ends ejections and writes the log, until ctx ends.
func (p *Pool) keep(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		p.mu.Lock()
		next := p.readmit(time.Now())
		p.mu.Unlock()
		p.writeNews()
		if ctx.Err() != nil {
			return
		}
		timer.Stop()
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
		select {
		case <-p.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
}

func (p *Pool) writeNews() {
	p.mu.Lock()
	news := p.news
	p.news = nil
	p.mu.Unlock()
	for _, c := range news {
		p.log.LogAttrs(context.Background(), c.level, c.message, slog.String("upstream", p.name),
			slog.String("server", c.server), slog.String("from", string(c.from)), slog.String("to", string(c.to)),
			slog.String("why", c.why))
	}
}

// cause is an error's text without what a line about a server has said already.
func cause(err error) string {
	var dialed *dialError
	switch {
	case err == nil:
		return "unknown"
	case errors.As(err, &dialed):
		return dialed.cause()
	default:
		return err.Error()
	}
}
