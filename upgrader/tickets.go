package upgrader

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"sync"
	"time"
)

// A session ticket is sealed with a key that crypto/tls makes in each process and tells nobody, so that after an upgrade
// every client would need a full handshake. ServeTLS has keys of its own, which pass from one generation to the next:
// rotated like crypto/tls's, and derived for each listener, since clients that one listener has let in are not to be
// taken for those of another (CVE-2025-23419).
const (
	ticketLifetime = 12 * time.Hour
	ticketsKept    = 4 // the newest seals; the others still open

	stateTickets = "baton/ticket-keys"
)

// ticketKeys are the keys that those of the listeners are derived from, newest first.
type ticketKeys struct {
	mu      sync.Mutex
	keys    []ticketKey
	configs map[*tls.Config]string // by which listener they are derived for
	rotates sync.Once              // begins with the first config
}

type ticketKey struct {
	born   time.Time
	secret [32]byte
}

// inherit takes over the parent's keys. A blob that is none is as good as nothing: clients do a full handshake.
func (t *ticketKeys) inherit(blob []byte) {
	const size = 8 + 32
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keys = nil
	for ; len(blob) >= size && len(t.keys) < ticketsKept; blob = blob[size:] {
		k := ticketKey{born: time.Unix(int64(binary.BigEndian.Uint64(blob)), 0)}
		copy(k.secret[:], blob[8:])
		t.keys = append(t.keys, k)
	}
}

func (t *ticketKeys) export() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	var blob []byte
	for _, k := range t.keys {
		blob = binary.BigEndian.AppendUint64(blob, uint64(k.born.Unix()))
		blob = append(blob, k.secret[:]...)
	}
	return blob
}

// use gives config the keys of a listener, now and whenever they are rotated.
func (t *ticketKeys) use(config *tls.Config, listener string) error {
	if err := t.rotate(time.Now()); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.configs == nil {
		t.configs = make(map[*tls.Config]string)
	}
	t.configs[config] = listener
	return t.apply(config, listener)
}

// rotate makes a new key where the newest has had its time.
func (t *ticketKeys) rotate(now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.keys) > 0 && now.Before(t.keys[0].born.Add(ticketLifetime)) && !now.Before(t.keys[0].born) {
		return nil
	}
	k := ticketKey{born: now}
	if _, err := rand.Read(k.secret[:]); err != nil {
		return fmt.Errorf("session ticket key: %w", err)
	}
	t.keys = append([]ticketKey{k}, t.keys...)
	t.keys = t.keys[:min(len(t.keys), ticketsKept)]
	for config, listener := range t.configs {
		if err := t.apply(config, listener); err != nil {
			return err
		}
	}
	return nil
}

func (t *ticketKeys) apply(config *tls.Config, listener string) error {
	derived := make([][32]byte, len(t.keys))
	for i, k := range t.keys {
		b, err := hkdf.Key(sha256.New, k.secret[:], nil, "baton session tickets of "+listener, len(derived[i]))
		if err != nil {
			return fmt.Errorf("session ticket key: %w", err)
		}
		copy(derived[i][:], b)
	}
	config.SetSessionTicketKeys(derived)
	return nil
}

// keepTickets has ServeTLS's tickets survive upgrades.
func (u *Upgrader) keepTickets() {
	if blob, ok := u.State(stateTickets); ok {
		u.tickets.inherit(blob)
	}
	_ = u.state.provide(stateTickets, u.tickets.export)
}

// serveTickets keeps config's ticket keys until this process has ended.
func (u *Upgrader) serveTickets(config *tls.Config, listener string) error {
	if u.opts.OwnTicketKeys || config.SessionTicketsDisabled {
		return nil
	}
	if err := u.tickets.use(config, listener); err != nil {
		return err
	}
	u.tickets.rotates.Do(func() { go u.rotateTickets() })
	return nil
}

func (u *Upgrader) rotateTickets() {
	tick := time.NewTicker(ticketLifetime / 12)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			if err := u.tickets.rotate(now); err != nil {
				u.log.Error("session tickets keep their old key", "err", err)
			}
		case <-u.done:
			return
		}
	}
}
