package upstream

import (
	"fmt"
	"log/slog"
	"time"
)

// mostEjections bounds how ejections grow: to so many times the configured duration.
const mostEjections = 10

// failed takes in that a connection failed.
func (p *Pool) failed(s *Server, now time.Time) {
	s.row++
	limit := p.cfg.Ejection.Failures
	switch {
	case limit == 0 || s.row < limit || s.state != up || p.closed:
	case p.in > 1:
		p.eject(s, now)
	case s.row == limit:
		p.tell(change{slog.LevelWarn, "server stays in: no other is", s.address, up, up, p.rowText(s)})
	}
}

// eject takes a server out for a while that grows by one duration each time, and shrinks by one for each duration that
// the server has been in.
func (p *Pool) eject(s *Server, now time.Time) {
	unit := p.cfg.Ejection.Duration
	rested := min(max(now.Sub(s.since)/unit, 0), mostEjections) // a clock that was set back makes it negative
	s.ejections = min(max(s.ejections-int(rested), 0)+1, mostEjections)
	span := time.Duration(s.ejections) * unit
	s.until = now.Add(span)
	s.epoch++
	p.become(s, ejected, fmt.Sprintf("%s; in again in %v", p.rowText(s), span), now)
}

func (p *Pool) rowText(s *Server) string {
	return fmt.Sprintf("connections failed in a row: %d, the last: %s", s.row, s.lastError)
}

// readmit takes in servers whose ejection is over, and returns when the next one's will be.
func (p *Pool) readmit(now time.Time) (next time.Time) {
	for _, s := range p.servers {
		switch {
		case s.state != ejected:
		case !now.Before(s.until):
			p.become(s, up, "its ejection is over", now)
		case next.IsZero() || s.until.Before(next):
			next = s.until
		}
	}
	return next
}
