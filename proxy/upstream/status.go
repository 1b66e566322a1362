package upstream

import "time"

// ServerStatus is what is known of one server.
type ServerStatus struct {
	Address     string    `json:"address"` // as configured
	State       string    `json:"state"`   // up, down or ejected
	Since       time.Time `json:"since"`   // when it came into that state
	LastError   string    `json:"last_error,omitempty"`
	LastFailure time.Time `json:"last_failure,omitzero"` // when LastError was seen; it stays after a recovery
	Active      int       `json:"active"`
	Picks       uint64    `json:"picks"`    // with those of the generations before, as of their Knowledge
	Failures    uint64    `json:"failures"` // leases that failed, not checks; counted like Picks
	Changes     uint64    `json:"changes"`  // of State; counted like Picks
	LastCheck   time.Time `json:"last_check,omitzero"`
}

// Status returns what is known of each server, in the order of the configuration.
func (p *Pool) Status() []ServerStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]ServerStatus, 0, len(p.servers))
	for _, s := range p.servers {
		all = append(all, ServerStatus{
			Address: s.address, State: string(s.state), Since: s.since, LastError: s.lastError,
			LastFailure: s.lastFailure, Active: s.Active(), Picks: s.picks, Failures: s.failures, Changes: s.changes,
			LastCheck: s.lastCheck,
		})
	}
	return all
}

// Knowledge is what one pool tells the next about a server: across a change of the configuration, or as JSON across an
// upgrade. Times are absolute, so that an ejection does not begin anew.
type Knowledge struct {
	Address     string    `json:"address"`
	State       string    `json:"state"`
	Since       time.Time `json:"since"`
	Until       time.Time `json:"until,omitzero"`      // when the ejection ends
	Ejections   int       `json:"ejections,omitempty"` // how many durations the last ejection took
	Row         int       `json:"row,omitempty"`       // connections that failed in a row
	Check       string    `json:"check,omitempty"`     // what active checks ask
	Contrary    int       `json:"contrary,omitempty"`  // checks in a row that contradicted State
	LastError   string    `json:"last_error,omitempty"`
	LastFailure time.Time `json:"last_failure,omitzero"`
	LastCheck   time.Time `json:"last_check,omitzero"`
	Picks       uint64    `json:"picks"`
	Failures    uint64    `json:"failures"`
	Changes     uint64    `json:"changes"`
}

// Knowledge returns what the next pool of this upstream should know; see Options.
func (p *Pool) Knowledge() []Knowledge {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]Knowledge, 0, len(p.servers))
	for _, s := range p.servers {
		all = append(all, Knowledge{
			Address: s.address, State: string(s.state), Since: s.since, Until: s.until, Ejections: s.ejections,
			Row: s.row, Check: questionText(p.cfg), Contrary: s.contrary, LastError: s.lastError,
			LastFailure: s.lastFailure, LastCheck: s.lastCheck, Picks: s.picks, Failures: s.failures,
			Changes: s.changes,
		})
	}
	return all
}

// inherit takes over what still holds under this configuration. It runs before anybody else has the pool.
func (p *Pool) inherit(known []Knowledge, now time.Time) {
	byAddress := make(map[string]Knowledge, len(known))
	for _, k := range known {
		byAddress[k.Address] = k
	}
	for _, s := range p.servers {
		if k, ok := byAddress[s.address]; ok {
			p.inheritServer(s, k, now)
		}
	}
	if p.in == 0 {
		p.needEjected(now)
	}
}

func (p *Pool) inheritServer(s *Server, k Knowledge, now time.Time) {
	s.lastError, s.lastFailure, s.lastCheck = k.LastError, k.LastFailure, k.LastCheck
	s.picks, s.failures, s.changes = k.Picks, k.Failures, k.Changes
	s.row, s.ejections = max(k.Row, 0), min(max(k.Ejections, 0), mostEjections)

	same := p.cfg.Health != nil && k.Check == questionText(p.cfg)
	left := k.Until.Sub(now)
	switch state(k.State) {
	case up:
		s.since = k.Since
	case down:
		if same {
			s.state, s.since = down, k.Since
			p.in--
		}
	case ejected:
		if p.cfg.Ejection.Failures > 0 && left > 0 {
			s.state, s.since = ejected, k.Since
			// A clock that was set back must not keep a server out for longer than an ejection can take.
			s.until = now.Add(min(left, mostEjections*p.cfg.Ejection.Duration))
			p.in--
		} else if left <= 0 {
			s.since = k.Until
		}
	}
	if same {
		s.contrary = max(k.Contrary, 0)
	}
	if s.since.IsZero() || s.since.After(now) {
		s.since = now
	}
}
