package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Upgrades says how, and how often, the server is upgraded during a run.
//
// An upgrade is over when the new generation serves, the Trigger has returned, and the pidfile names another process.
// That the new generation serves is seen by the first of these signs that the server gives (Upgrade.SeenBy):
//
//  1. a response that names another generation (HTTP.GenerationHeader),
//  2. the pidfile naming another process (PIDFile),
//  3. new workers: the process in the pidfile stays, had children before, and has started others (Linux only),
//  4. without a header and a pidfile, an answer to a request that was sent after the Trigger had returned. That says
//     that something serves, and not that it is something new.
//
// If there is a generation header, or there are new workers, and the pidfile stays the same throughout an upgrade, as with
// servers that reload in place, later upgrades do not wait for it. The other way round the header is taken for that of a
// server behind a proxy, and later upgrades do not look at it.
type Upgrades struct {
	Count    int
	Interval time.Duration // from one trigger to the next, and from the last one to the end; 2 s if 0
	LeadIn   time.Duration // before the first; half an Interval if 0
	Timeout  time.Duration // an upgrade that is not over by then has failed; 30 s if 0
	Settle   time.Duration // added to an upgrade's window, since clients feel it a little longer; 250 ms if 0
	Trigger  Trigger
	PIDFile  string // "" if there is none

	// Jitter makes each Interval longer or shorter by up to so much, evenly spread, so that upgrades do not keep step
	// with anything that the server does by the clock.
	Jitter time.Duration

	// Kinds take turns as events, Count in all; only KindUpgrade if empty. Each event has an Upgrade in the report, and
	// an Event beside it.
	Kinds    []Kind
	Rotation *Rotation  // for KindRotate
	Reload   Trigger    // for KindReload
	Rolling  *Rolling   // the binaries to upgrade to; nil: whatever is there
	Inject   *Injection // bad binaries among them; nil: none
}

const (
	// pidPoll is how often the pidfile is looked at during an upgrade, and so how exact the time of its change is.
	pidPoll = 2 * time.Millisecond
	// pidPatience is how long, at the least, the pidfile of a server whose new generation already answers, or which has
	// new workers, may stay as it is before the server is taken for one that keeps its pid.
	pidPatience = 5 * time.Second
)

func (u Upgrades) withDefaults() Upgrades {
	orElse(&u.Interval, 2*time.Second)
	orElse(&u.LeadIn, u.Interval/2)
	orElse(&u.Timeout, 30*time.Second)
	orElse(&u.Settle, 250*time.Millisecond)
	if len(u.Kinds) == 0 {
		u.Kinds = []Kind{KindUpgrade}
	}
	if u.Inject != nil {
		inject := u.Inject.withDefaults()
		u.Inject = &inject
	}
	return u
}

func (u Upgrades) validate() error {
	switch {
	case u.Count < 1:
		return fmt.Errorf("%d upgrades: there must be at least one", u.Count)
	case u.Interval < 0 || u.LeadIn < 0 || u.Timeout < 0 || u.Settle < 0:
		return errors.New("upgrades: a duration is negative")
	}
	return u.validateEvents()
}

// driver upgrades the server again and again, and watches each takeover from outside.
type driver struct {
	Upgrades
	start    time.Time
	seen     *generations
	windows  *timeline
	report   func(Upgrade)
	around   func() (over func()) // tells who waits for takeovers; may be nil
	over     func()               // of the event under way
	patience time.Duration        // pidPatience
	inPlace  bool                 // the pidfile stays the same across upgrades
	foreign  bool                 // the generation header does
	finished []Upgrade
	census   *census
}

// run returns when the last upgrade's interval is over, or ctx is done.
func (d *driver) run(ctx context.Context) {
	d.census = newCensus(d.pid)
	stop := d.census.watch()
	defer func() {
		stop()
		d.account()
	}()
	if d.Rotation != nil {
		defer d.unrotate()
	}
	next := d.start.Add(d.LeadIn)
	for n := 1; n <= d.Count; n++ {
		if !sleepUntil(ctx, next) {
			break
		}
		d.confirm()
		begun := time.Now()
		done, event := d.carryOut(ctx, n)
		if ctx.Err() != nil {
			return
		}
		done.Event = &event
		d.finished = append(d.finished, done)
		d.tell(done)
		next = begun.Add(d.pause())
		if earliest := time.Now().Add(d.Settle); next.Before(earliest) {
			next = earliest
		}
	}
	sleepUntil(ctx, next)
	d.confirm()
}

// confirm marks the last upgrade as failed if the generation from before it is back.
func (d *driver) confirm() {
	if len(d.finished) == 0 {
		return
	}
	last := &d.finished[len(d.finished)-1]
	pid, _ := d.pid()
	switch {
	case last.Error != "":
		return
	case last.ToGeneration != "" && last.FromGeneration == d.seen.now():
		last.Error = fmt.Sprintf("generation %s served, and then generation %s did again", last.ToGeneration, last.FromGeneration)
	case last.ToPID != 0 && last.FromPID == pid:
		last.Error = fmt.Sprintf("%s named pid %d, and then pid %d again", d.PIDFile, last.ToPID, last.FromPID)
	default:
		return
	}
	d.tell(*last)
}

// tell reports an upgrade. Its event is a copy, since account goes on with the driver's own.
func (d *driver) tell(u Upgrade) {
	if u.Event != nil {
		event := *u.Event
		u.Event = &event
	}
	d.report(u)
}

// sleepUntil reports whether it slept to the end.
func sleepUntil(ctx context.Context, at time.Time) bool {
	t := time.NewTimer(time.Until(at))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
