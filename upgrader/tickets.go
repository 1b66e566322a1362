package upgrader

import (
	"crypto/tls"
	"sync"
	"time"

	"github.com/seed-e3b9a99f/baton/internal/tickets"
)

// stateTickets names the keys of ServeTLS's session tickets. crypto/tls would make keys in each process and tell
// nobody, so that after an upgrade every client would need a full handshake.
const stateTickets = "baton/ticket-keys"

// ticketKeys are those of ServeTLS. Each listener is a trust domain of its own.
type ticketKeys struct {
	ring    *tickets.Ring
	rotates sync.Once // begins with the first config
}

// keepTickets has ServeTLS's tickets survive upgrades.
func (u *Upgrader) keepTickets() {
	now := time.Now()
	u.tickets.ring = tickets.New(tickets.DefaultLifetime, tickets.DefaultKeep, now)
	if blob, _ := u.State(stateTickets); len(blob) > 0 {
		if err := u.tickets.ring.Import(blob, now); err != nil {
			u.log.Warn("session tickets of the parent do not resume", "err", err)
		}
	}
	_ = u.state.provide(stateTickets, u.tickets.ring.Export)
}

// serveTickets keeps config's ticket keys until this process has ended.
func (u *Upgrader) serveTickets(config *tls.Config, listener string) {
	if u.opts.OwnTicketKeys || config.SessionTicketsDisabled {
		return
	}
	u.tickets.ring.Rotate(time.Now())
	u.tickets.ring.Use(config, listener)
	u.tickets.rotates.Do(func() { go u.rotateTickets() })
}

func (u *Upgrader) rotateTickets() {
	tick := time.NewTicker(tickets.DefaultLifetime / 12)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			u.tickets.ring.Rotate(now)
		case <-u.done:
			return
		}
	}
}
