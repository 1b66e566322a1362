package tlsreload

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Reloader serves certificates that change. Its methods are safe for concurrent use.
type Reloader struct {
	opts       Options
	tickets    *TicketKeys
	ownTickets bool

	current       atomic.Pointer[snapshot]
	full, resumed atomic.Uint64
	revokedBefore atomic.Uint64 // sessions that were resumed in an earlier generation may be of a revoked certificate

	rounds  sync.Mutex // one at a time; guards what follows
	served  map[slot]good
	orders  [][]slot // what each source has
	issues  map[string]*issue
	revoked map[string]bool // serials

	mu     sync.Mutex
	status Status
	fronts map[string]*front

	wake chan struct{}
	stop context.CancelFunc
	done sync.WaitGroup
}

// New loads what there is and serves it until Close. It fails when something is missing or not good, with all there is
// to say about it; with Options.Wait it waits until ctx ends. ctx has no meaning after New has returned.
func New(ctx context.Context, opts Options) (*Reloader, error) {
	r, err := open(opts)
	if err != nil {
		return nil, err
	}
	if err := r.start(ctx); err != nil {
		return nil, err
	}
	if r.tickets == nil {
		if r.tickets, err = NewTicketKeys(r.opts.Tickets); err != nil {
			return nil, err
		}
		r.ownTickets = true
	}
	running, stop := context.WithCancel(context.Background())
	r.stop = stop
	for _, s := range r.opts.Sources {
		if w, ok := s.(Watcher); ok {
			r.done.Go(func() { w.Watch(running, r.wakeUp) })
		}
	}
	r.done.Go(func() { r.poll(running) })
	return r, nil
}

// Check does what New does at the start, and serves nothing: a dry run. Without a Logger it logs nothing.
func Check(ctx context.Context, opts Options) (Status, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	r, err := open(opts)
	if err != nil {
		return Status{}, err
	}
	err = r.round(ctx)
	return r.Status(), err
}

func open(opts Options) (*Reloader, error) {
	opts.setDefaults()
	if len(opts.Sources) == 0 {
		return nil, errors.New("tlsreload: Options.Sources is empty: there is nothing to serve")
	}
	return &Reloader{
		opts: opts, tickets: opts.TicketKeys,
		served: make(map[slot]good), orders: make([][]slot, len(opts.Sources)),
		issues: make(map[string]*issue), fronts: make(map[string]*front), revoked: make(map[string]bool),
		wake: make(chan struct{}, 1),
	}, nil
}

// start loads for the first time.
func (r *Reloader) start(ctx context.Context) error {
	for {
		err := r.round(ctx)
		if err == nil {
			return nil
		}
		if !r.opts.Wait {
			return fmt.Errorf("load certificates: %w", err)
		}
		r.report(time.Now())
		select {
		case <-ctx.Done():
			return fmt.Errorf("load certificates: %w (%w)", err, ctx.Err())
		case <-time.After(min(r.opts.Interval, impatience)):
		}
	}
}

// Close stops looking for changes. What is served now is served on.
func (r *Reloader) Close() error {
	r.stop()
	r.done.Wait()
	if r.ownTickets {
		return r.tickets.Close()
	}
	return nil
}

// Tickets returns the keys of the session tickets, to export them to the next generation or to invalidate them.
func (r *Reloader) Tickets() *TicketKeys { return r.tickets }

// Reload looks at the sources now, and returns why something of them is not served, or nil. It changes what is good,
// also when something else is not.
func (r *Reloader) Reload(ctx context.Context) error {
	err := r.round(ctx)
	r.report(time.Now().Add(patience)) // at once: somebody asked
	return err
}

// Revoke says that a certificate must not be used any more: it is not taken again; as soon as another one is served in
// its place, no session of before resumes, and connections that were made with it end at their next response (with
// Attach). It returns an error where it is what is served: then the sources have to bring another.
func (r *Reloader) Revoke(serial *big.Int) error {
	r.rounds.Lock()
	defer r.rounds.Unlock()
	r.revoked[serial.String()] = true
	for _, id := range identities(r.served) {
		if id.tls.Leaf.SerialNumber.Cmp(serial) == 0 {
			id.fate.revoked.Store(true)
			return fmt.Errorf("certificate %s (serial %x) is served until its source has another", id.name, serial)
		}
	}
	return r.endSessions()
}

// endSessions keeps every session of before from being resumed.
func (r *Reloader) endSessions() error {
	if s := r.current.Load(); s != nil {
		r.revokedBefore.Store(s.generation + 1)
	}
	return r.tickets.InvalidateAll()
}

const (
	// patience is how long a problem may last until it is logged: files are written one after the other.
	patience = time.Second
	// impatience is how soon to look again while there is one.
	impatience = 100 * time.Millisecond
)

// poll looks at the sources until ctx ends.
func (r *Reloader) poll(ctx context.Context) {
	for {
		pause := r.opts.Interval - r.opts.Interval/10 + rand.N(r.opts.Interval/5+1)
		if r.report(time.Now()) {
			pause = min(pause, impatience)
		}
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-time.After(pause):
		}
		_ = r.round(ctx) // it is in the status
	}
}

func (r *Reloader) wakeUp() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// issue is a problem that stands.
type issue struct {
	Problem
	refused bool // and not only worth knowing
	logged  bool
	heard   bool // of this or another about the same: its end is news
}

// report logs what has been wrong for long enough, once. It tells whether something has not been, yet.
func (r *Reloader) report(now time.Time) (soon bool) {
	r.rounds.Lock()
	defer r.rounds.Unlock()
	for _, i := range r.issues {
		switch {
		case i.logged:
		case now.Sub(i.Since) < patience:
			soon = true
		default:
			i.logged, i.heard = true, true
			what := "TLS: warning"
			if i.refused {
				what = "TLS: refused, the last good one is served"
			}
			r.opts.Logger.Error(what, "name", i.Name, "err", i.Text)
		}
	}
	return soon
}
