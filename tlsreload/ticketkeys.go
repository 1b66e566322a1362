package tlsreload

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/seed-e3b9a99f/baton/internal/tickets"
)

// TicketOptions say where the keys of session tickets come from. The zero value makes keys of this process's own, every
// 12 hours, and accepts the last 4.
type TicketOptions struct {
	// Lifetime is how long a key issues tickets before another takes its place: 12 hours if 0, at least a second. Not
	// used with File.
	Lifetime time.Duration

	// Keep is how many keys are accepted, the one that issues included: 4 if 0, at most 64. Not used with File.
	Keep int

	// File is the path of a key file that the instances of a fleet share, so that a client resumes with any of them.
	// Each line is the time from which a key issues (RFC 3339), a space, and 32 bytes in base64; lines that start with
	// # are comments. All its keys are accepted, and the newest whose time has come issues, so that a new key is
	// accepted everywhere before anyone issues with it: see RotateKeyFile, which writes such a file. Nobody but its
	// owner may be able to read it (chmod 600; not checked on Windows).
	//
	// A file that turns bad later (garbage, a short key, unreadable, vanished) changes nothing: the last good keys stay,
	// the reason is logged once and stands in Status.
	File string

	// Interval is how often File is looked at: DefaultInterval if 0. The time between two looks varies a little, and is
	// never longer.
	Interval time.Duration

	// Logger gets a line when another key issues, and when File turns bad or good; never a key. Nil is slog.Default.
	Logger *slog.Logger
}

// TicketKeys are the keys that seal and open TLS session tickets, for any number of configs. A goroutine rotates them,
// and looks at the key file; Close ends it.
type TicketKeys struct {
	opts TicketOptions
	log  *slog.Logger
	ring *tickets.Ring

	stop  chan struct{}
	close sync.Once
	wake  chan struct{} // what is due may have changed
	ended chan struct{}

	text []byte // of the key file, when it was good; the goroutine's

	mu   sync.Mutex
	err  string          // what is wrong with the key file now
	told map[string]bool // logged since the key file was good
}

// NewTicketKeys returns keys to use from the start: of this process's own, or those of a key file, which must be good.
// The caller calls Close.
func NewTicketKeys(opts TicketOptions) (*TicketKeys, error) {
	switch {
	case opts.Lifetime != 0 && opts.Lifetime < time.Second:
		return nil, fmt.Errorf("ticket keys: a lifetime of %v is too short: give at least 1s, or 0 for 12h", opts.Lifetime)
	case opts.Keep < 0 || opts.Keep > tickets.Max:
		return nil, fmt.Errorf("ticket keys: keep %d of them: give 1 to %d, or 0 for 4", opts.Keep, tickets.Max)
	case opts.Interval < 0:
		return nil, fmt.Errorf("ticket keys: an interval of %v is negative: give a duration such as 10s", opts.Interval)
	}
	if opts.Interval == 0 {
		opts.Interval = DefaultInterval
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	t := &TicketKeys{
		opts: opts, log: opts.Logger, ring: tickets.New(opts.Lifetime, opts.Keep, time.Now()),
		stop: make(chan struct{}), wake: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	if opts.File != "" {
		if err := t.load(); err != nil {
			return nil, fmt.Errorf("ticket keys: %w", err)
		}
	}
	go t.run()
	return t, nil
}

// use sets config's ticket keys now and whenever they change, until forget. They are derived for a trust domain: all that
// decides who is let in, since a ticket of one domain does not resume in another. It is safe while config serves.
func (t *TicketKeys) use(config *tls.Config, domain string) { t.ring.Use(config, domain) }

// forget leaves config with the keys that it has. A config that is no longer needed is held in memory without it.
func (t *TicketKeys) forget(config *tls.Config) { t.ring.Forget(config) }

// Export returns the keys as an opaque blob for Import in another process, such as the next generation of this one. It
// holds secrets: keep it off disks and out of logs.
func (t *TicketKeys) Export() []byte { return t.ring.Export() }

// Import goes on with the keys that Export returned. A blob that is none is an error and changes nothing. With a key
// file it does nothing, since the file has the say.
func (t *TicketKeys) Import(blob []byte) error {
	if t.opts.File != "" {
		return nil
	}
	err := t.ring.Import(blob, time.Now())
	t.reschedule()
	return err
}

// InvalidateAll forgets every key and makes a new one: each client needs a full handshake at its next connection, with
// this process. With a key file it is an error and changes nothing: one instance with keys of its own would turn down
// its clients, and the others would go on accepting what is to be invalid. Call RotateKeyFile(path, time.Now(), 0, 1)
// instead, which leaves one new key in the file, and bring it to every instance: each drops the old ones at its next
// look.
func (t *TicketKeys) InvalidateAll() error {
	if t.opts.File != "" {
		return fmt.Errorf("invalidate ticket keys: they are those of %s, which others use too: put one new key into it "+
			"(RotateKeyFile with a lead of 0, keeping 1) and every instance drops the old ones", t.opts.File)
	}
	t.ring.InvalidateAll(time.Now())
	t.log.Info("session ticket keys invalidated: clients need a full handshake each")
	t.reschedule()
	return nil
}

// TicketStatus is what Status tells.
type TicketStatus struct {
	Keys    int       `json:"keys"`            // how many open tickets
	Issuing time.Time `json:"issuing"`         // from when the key has issued that issues now
	Next    time.Time `json:"next,omitzero"`   // when another one will; zero if none is in the key file
	File    string    `json:"file,omitempty"`  // the key file, if any
	Err     string    `json:"error,omitempty"` // what is wrong with it; its last good keys are in use meanwhile
}

// Status tells of the keys as they are now.
func (t *TicketKeys) Status() TicketStatus {
	keys, issuing := t.ring.State()
	t.mu.Lock()
	defer t.mu.Unlock()
	return TicketStatus{keys, issuing, t.ring.Next(time.Now()), t.opts.File, t.err}
}

// Close ends the rotation. Configs keep the keys that they have. It returns nil.
func (t *TicketKeys) Close() error {
	t.close.Do(func() { close(t.stop) })
	<-t.ended
	return nil
}

func (t *TicketKeys) reschedule() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

func (t *TicketKeys) run() {
	defer close(t.ended)
	due := time.NewTimer(t.untilDue())
	defer due.Stop()
	var look <-chan time.Time // nil without a file
	for {
		if look == nil && t.opts.File != "" {
			look = time.After(t.untilLook())
		}
		select {
		case <-t.stop:
			return
		case <-t.wake:
		case <-due.C:
		case <-look:
			look = nil
			if err := t.load(); !errors.Is(err, errClosed) {
				t.report(err)
			}
		}
		if t.ring.Rotate(time.Now()) {
			t.log.Info("session tickets are sealed with another key")
		}
		due.Reset(t.untilDue())
	}
}

// untilDue is at most a minute, since the wall clock may be set meanwhile.
func (t *TicketKeys) untilDue() time.Duration {
	next := t.ring.Next(time.Now())
	if next.IsZero() {
		return time.Minute
	}
	return max(0, min(time.Minute, time.Until(next)))
}

// untilLook spreads a fleet's looks at a file server. What is found must be in use when the interval is over.
func (t *TicketKeys) untilLook() time.Duration {
	longest := t.opts.Interval - t.settle()
	return longest - rand.N(longest/5+1)
}

// settle is how long the key file must stay the same to be believed.
func (t *TicketKeys) settle() time.Duration { return min(50*time.Millisecond, t.opts.Interval/10) }

var errClosed = errors.New("closed")

// load takes the key file's keys, if they are not those of the last time.
func (t *TicketKeys) load() error {
	text, err := readSettled(t.opts.File, t.text, func() error {
		select {
		case <-t.stop:
			return errClosed
		case <-time.After(t.settle()):
			return nil
		}
	})
	if err != nil {
		return err
	}
	if t.text != nil && bytes.Equal(text, t.text) {
		return nil
	}
	keys, err := parseKeys(t.opts.File, text)
	if err != nil {
		return err
	}
	if err := t.ring.Replace(keys, time.Now()); err != nil {
		return err
	}
	if t.text != nil {
		t.log.Info("session ticket keys read", "file", t.opts.File, "keys", len(keys))
	}
	t.text = text
	return nil
}

// report logs what is wrong with the key file, once for each cause, and when it is good again.
func (t *TicketKeys) report(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		if t.err != "" {
			t.log.Info("session ticket key file is good again", "file", t.opts.File)
		}
		t.err, t.told = "", nil
		return
	}
	t.err = err.Error()
	if t.told[t.err] {
		return
	}
	if t.told == nil {
		t.told = make(map[string]bool)
	}
	t.told[t.err] = true
	t.log.Warn("session ticket keys stay as they were", "err", t.err)
}
