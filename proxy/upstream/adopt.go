package upstream

// Adopt counts a connection that an earlier process made to a server, and that goes on in this one. It returns nil where
// the pool does not have the server any more. Limits do not hold it up.
func (p *Pool) Adopt(address string) *Lease {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.servers {
		if s.address == address {
			s.active.Add(1)
			p.active++
			return &Lease{pool: p, server: s, epoch: s.epoch, judged: true}
		}
	}
	return nil
}
