package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Kind is what an event does to the server. The strings are part of the JSON schema.
type Kind string

const (
	// KindUpgrade replaces the server's process, or its binary, by Upgrades.Trigger.
	KindUpgrade Kind = "upgrade"
	// KindRotate writes a new certificate over the server's; see Rotation.
	KindRotate Kind = "rotate"
	// KindReload makes the server read its configuration anew, by Upgrades.Reload.
	KindReload Kind = "reload"
)

// ParseKinds reads a mix of events as "upgrade,rotate,reload". A kind that stands there twice comes twice as often.
func ParseKinds(s string) ([]Kind, error) {
	return parseList(s, "kind of event", []Kind{KindUpgrade, KindRotate, KindReload})
}

// parseList reads words with commas between, each of which must be a known one.
func parseList[T ~string](s, what string, known []T) (list []T, err error) {
	for word := range strings.SplitSeq(s, ",") {
		item := T(strings.TrimSpace(word))
		if !slices.Contains(known, item) {
			return nil, fmt.Errorf("%q is no %s: give %s, or several with commas between", word, what, join(known))
		}
		list = append(list, item)
	}
	return list, nil
}

func join[T ~string](list []T) string {
	var words []string
	for _, item := range list {
		words = append(words, string(item))
	}
	return strings.Join(words, ", ")
}

// Event is what was done to the server at one event, and what it cost the server. It stands beside the Upgrade of the
// same number, which has the takeover. Times count from the trigger; 0 means that it did not happen.
type Event struct {
	Number int   `json:"number"` // from 1, as Upgrade.Number
	Kind   Kind  `json:"kind"`
	Fault  Fault `json:"fault,omitempty"` // of the bad binary that was in place; "" if it was a good one
	// Binary is what Rolling installed before the trigger.
	Binary string `json:"binary,omitempty"`

	// Effective is when the new certificate was served, or the reload's trigger had returned.
	Effective float64 `json:"effective_ms,omitempty"`
	// FaultStarted and FaultEnded are when the server had started the bad binary, and when that had ended.
	FaultStarted float64 `json:"fault_started_ms,omitempty"`
	FaultEnded   float64 `json:"fault_ended_ms,omitempty"`

	// OldGone is when the process that the pidfile named before had ended. OldAlive says that at the end of the run it
	// still had not, though another one had taken over.
	OldGone  float64 `json:"old_gone_ms,omitempty"`
	OldAlive bool    `json:"old_alive,omitempty"`

	// Usage is nil without a pidfile, and where processes cannot be looked at (systems other than Linux).
	Usage *ProcessUsage `json:"usage,omitempty"`
}

// validateEvents checks what the mix of events needs.
func (u Upgrades) validateEvents() error {
	has := func(k Kind) bool { return slices.Contains(u.Kinds, k) }
	switch {
	case has(KindUpgrade) && u.Trigger == nil:
		return errors.New("upgrades without a trigger")
	case has(KindRotate) && u.Rotation == nil:
		return errors.New("events rotate: say which certificate, by a Rotation")
	case has(KindReload) && u.Reload == nil:
		return errors.New("events reload: say how, by a signal or a command")
	case !has(KindRotate) && u.Rotation != nil:
		return errors.New("a certificate to rotate, but no rotate among the events: add it")
	case !has(KindReload) && u.Reload != nil:
		return errors.New("a way to reload, but no reload among the events: add it")
	case !has(KindUpgrade) && (u.Rolling != nil || u.Inject != nil):
		return errors.New("binaries to install, but no upgrade among the events: add it")
	case u.Jitter < 0 || u.Jitter > u.Interval:
		return fmt.Errorf("jitter %v: give one from 0 to the interval, %v", u.Jitter, u.Interval)
	}
	if u.Rolling != nil {
		if err := u.Rolling.validate(); err != nil {
			return err
		}
	}
	if u.Inject != nil {
		if err := u.Inject.validate(u.Timeout); err != nil {
			return err
		}
	}
	if u.Rotation != nil {
		return u.Rotation.validate()
	}
	return nil
}

// mixed reports whether there are other events than upgrades.
func (u Upgrades) mixed() bool {
	return slices.ContainsFunc(u.Kinds, func(k Kind) bool { return k != KindUpgrade })
}

// plan says what event n is, from 1. The kinds take turns, and so do the faults among the upgrades.
func (u Upgrades) plan(n int) Event {
	e := Event{Number: n, Kind: u.Kinds[(n-1)%len(u.Kinds)]}
	if e.Kind != KindUpgrade || u.Inject == nil {
		return e
	}
	upgrades := 0
	for i := range n {
		if u.Kinds[i%len(u.Kinds)] == KindUpgrade {
			upgrades++
		}
	}
	if every := u.Inject.Every; upgrades%every == 0 {
		e.Fault = u.Inject.Faults[(upgrades/every-1)%len(u.Inject.Faults)]
	}
	return e
}

// pause is the time from one trigger to the next.
func (u Upgrades) pause() time.Duration {
	if u.Jitter == 0 {
		return u.Interval
	}
	return u.Interval - u.Jitter + rand.N(2*u.Jitter+1)
}

// carryOut does event n, and returns when it is over, has failed, or ctx is done.
func (d *driver) carryOut(ctx context.Context, n int) (u Upgrade, e Event) {
	e = d.plan(n)
	switch {
	case e.Kind == KindRotate:
		u = d.rotate(ctx, &e)
	case e.Kind == KindReload:
		u = d.reload(ctx, &e)
	case e.Fault != "":
		u = d.inject(ctx, &e)
	default:
		if d.Rolling != nil {
			var err error
			if e.Binary, err = d.Rolling.next(); err != nil {
				return d.failed(n, err), e
			}
		}
		u = d.upgrade(ctx, n)
	}
	return u, e
}

// begin opens the window of event n, which the caller ends.
func (d *driver) begin(n int) (Upgrade, time.Time) {
	u := Upgrade{Number: n}
	u.FromPID, _ = d.pid()
	d.census.begin(u.FromPID)
	begun := time.Now()
	u.At = begun.Sub(d.start).Seconds()
	d.windows.open(begun)
	if d.around != nil {
		d.over = d.around()
	}
	return u, begun
}

func (d *driver) end() {
	if d.over != nil {
		d.over()
		d.over = nil
	}
	at := time.Now().Add(d.Settle)
	d.windows.close(at)
	d.census.end(at)
}

// failed is an event that did not get as far as its trigger.
func (d *driver) failed(n int, err error) Upgrade {
	u, _ := d.begin(n)
	d.end()
	u.Error = err.Error()
	return u
}

// reload triggers a reload. From outside nothing tells when it has taken effect, but a command that waits for it.
func (d *driver) reload(ctx context.Context, e *Event) Upgrade {
	u, begun := d.begin(e.Number)
	defer d.end()
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	err := d.Reload(ctx)
	switch {
	case ctx.Err() != nil:
		u.Error = d.tooLong()
	case err != nil:
		u.Error = err.Error()
	default:
		u.Triggered = max(ms(time.Since(begun)), minMS)
		e.Effective = u.Triggered
	}
	return u
}

// account completes the events with what was found out about processes until the end of the run.
func (d *driver) account() {
	for i, u := range d.finished {
		e := u.Event
		found := d.census.of(i)
		e.Usage = found.usage
		if u.ToPID == 0 {
			continue // there is no old process
		}
		if found.gone.IsZero() {
			e.OldAlive = u.ToPID != u.FromPID
		} else {
			e.OldGone = cmp.Or(max(ms(found.gone.Sub(found.begun)), minMS), minMS)
		}
	}
}
