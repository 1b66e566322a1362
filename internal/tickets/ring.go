package tickets

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// What New takes for 0, and how many keys a ring may hold at all.
const (
	DefaultLifetime = 12 * time.Hour
	DefaultKeep     = 4
	Max             = 64
)

// Key is a secret, and the time from which it issues tickets.
type Key struct {
	Secret [32]byte
	From   time.Time
}

// NewKey makes a key that issues from a time.
func NewKey(from time.Time) Key {
	k := Key{From: from.Round(0)} // no monotonic clock: other processes are to agree
	rand.Read(k.Secret[:])        // never fails
	return k
}

// String keeps secrets out of logs.
func (k Key) String() string { return "ticket key from " + k.From.Format(time.RFC3339) }

// GoString keeps secrets out of logs, too.
func (k Key) GoString() string { return k.String() }

// Issuing returns which of keys, newest first, issues: the newest whose time has come, or else the one whose time comes
// first.
func Issuing(keys []Key, now time.Time) int {
	due := slices.IndexFunc(keys, func(k Key) bool { return !k.From.After(now) })
	if due < 0 {
		return len(keys) - 1
	}
	return due
}

// Ring is a set of keys and the configs that have keys derived from them. It is safe for use by several goroutines.
type Ring struct {
	lifetime time.Duration
	keep     int

	mu      sync.Mutex
	keys    []Key // newest first, never empty
	issuing int   // always 0 of keys of its own
	shared  bool  // the keys are others': it makes none
	domains map[*tls.Config]string
}

// New returns a ring with one key, which issues at once. After lifetime another one takes its place; keep is how many
// open tickets, the one that issues included, and at most Max. 0 is the default of each.
func New(lifetime time.Duration, keep int, now time.Time) *Ring {
	if lifetime <= 0 {
		lifetime = DefaultLifetime
	}
	if keep <= 0 {
		keep = DefaultKeep
	}
	return &Ring{
		lifetime: lifetime, keep: min(keep, Max), keys: []Key{NewKey(now)}, domains: make(map[*tls.Config]string),
	}
}

// Use sets config's ticket keys, those of a trust domain, now and whenever the ring changes, until Forget. A config has
// one domain, the last that was named.
func (r *Ring) Use(config *tls.Config, domain string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.domains[config] = domain
	r.apply(config, domain)
}

// Forget leaves config with the keys that it has. Without it the ring holds config for good.
func (r *Ring) Forget(config *tls.Config) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.domains, config)
}

// Rotate does what is due: it makes a new key where the newest has had its time, or lets one issue that was set for
// later. It returns whether another key issues now.
func (r *Ring) Rotate(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.advance(now) {
		return false
	}
	r.applyAll()
	return true
}

// advance is Rotate without telling the configs.
func (r *Ring) advance(now time.Time) bool {
	now = now.Round(0)
	if r.shared {
		was := r.issuing
		r.issuing = Issuing(r.keys, now)
		return r.issuing != was
	}
	r.issuing = 0
	for i := range r.keys {
		if r.keys[i].From.After(now) { // made while the clock was ahead, or it would issue until the clock gets there
			r.keys[i].From = now
		}
	}
	if now.Before(r.keys[0].From.Add(r.lifetime)) {
		return false
	}
	r.keys = slices.Insert(r.keys, 0, NewKey(now))
	r.keys = r.keys[:min(len(r.keys), r.keep)]
	return true
}

// Next returns when Rotate has something to do, which may be now; the zero time is never.
func (r *Ring) Next(now time.Time) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	now = now.Round(0)
	if !r.shared {
		if newest := r.keys[0].From; !newest.After(now) {
			return newest.Add(r.lifetime)
		}
		return now
	}
	if Issuing(r.keys, now) != r.issuing {
		return now
	}
	for _, k := range slices.Backward(r.keys) {
		if k.From.After(now) && k.From.After(r.keys[r.issuing].From) {
			return k.From
		}
	}
	return time.Time{}
}

// State returns how many keys open tickets, and from when the one has issued that issues.
func (r *Ring) State() (keys int, issuing time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.keys), r.keys[r.issuing].From
}

// Replace has the ring use others' keys, in any order, and no longer make any, until Import or InvalidateAll. It
// refuses no keys, and more than Max.
func (r *Ring) Replace(keys []Key, now time.Time) error {
	if len(keys) == 0 {
		return errors.New("replace ticket keys: there is none")
	}
	if len(keys) > Max {
		return fmt.Errorf("replace ticket keys: %d are too many: at most %d can be kept", len(keys), Max)
	}
	keys = slices.Clone(keys)
	slices.SortStableFunc(keys, func(a, b Key) int { return b.From.Compare(a.From) })
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys, r.shared = keys, true
	r.advance(now)
	r.applyAll()
	return nil
}

// InvalidateAll makes a new key in place of all others: no ticket that has been issued resumes any more.
func (r *Ring) InvalidateAll(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys, r.shared, r.issuing = []Key{NewKey(now)}, false, 0
	r.applyAll()
}

func (r *Ring) applyAll() {
	for config, domain := range r.domains {
		r.apply(config, domain)
	}
}

// apply gives config the keys of its domain, the one that issues first.
func (r *Ring) apply(config *tls.Config, domain string) {
	derived := make([][32]byte, 0, len(r.keys))
	derived = append(derived, derive(r.keys[r.issuing], domain))
	for i, k := range r.keys {
		if i != r.issuing {
			derived = append(derived, derive(k, domain))
		}
	}
	config.SetSessionTicketKeys(derived)
}

func derive(k Key, domain string) (derived [32]byte) {
	b, err := hkdf.Key(sha256.New, k.Secret[:], nil, "baton session tickets of "+domain, len(derived))
	if err != nil { // what can be wrong are the lengths, which are constants
		panic(err)
	}
	copy(derived[:], b)
	return derived
}
