package bench

import (
	"sync"
	"time"
)

// timeline is when upgrades were under way.
type timeline struct {
	witness func() (Kernel, bool) // asked at each trigger; may be nil

	mu      sync.RWMutex
	windows []window
	losses  int64 // before the first upgrade
}

type window struct {
	from, to time.Time // to is zero while the upgrade is under way
	losses   int64     // from its signal until the next one's
	kernel   *Kernel   // what it had counted at from
}

// part is where in a run an operation lies.
type part int

const (
	before part = iota // over before the first upgrade
	during             // touched a window
	after              // the rest
	parts
)

func (t *timeline) open(at time.Time) {
	var counted *Kernel
	if t.witness != nil {
		if k, ok := t.witness(); ok {
			counted = &k
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.windows = append(t.windows, window{from: at, kernel: counted})
}

// close ends the last window.
func (t *timeline) close(at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.windows[len(t.windows)-1].to = at
}

// place returns the part in which an operation lies that was due at from and over at to.
func (t *timeline) place(from, to time.Time) part {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for i := len(t.windows) - 1; i >= 0; i-- {
		w := t.windows[i]
		if w.from.After(to) {
			continue
		}
		if w.to.IsZero() || !w.to.Before(from) {
			return during
		}
		return after
	}
	return before
}

// lost ties a loss that was seen at the given time to the upgrade that was signalled last before it, and returns its
// number, or 0 if there was none.
func (t *timeline) lost(at time.Time) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := len(t.windows) - 1; i >= 0; i-- {
		if !t.windows[i].from.After(at) {
			t.windows[i].losses++
			return i + 1
		}
	}
	t.losses++
	return 0
}

// complete adds to a finished upgrade what the timeline knows of it. ended is what the kernel had counted at the run's
// end, or nil.
func (t *timeline) complete(u Upgrade, start time.Time, ended *Kernel) Upgrade {
	t.mu.RLock()
	defer t.mu.RUnlock()
	i := u.Number - 1
	w := t.windows[i]
	u.Lost = w.losses
	if !w.to.IsZero() {
		u.Until = w.to.Sub(start).Seconds()
	}
	next := ended
	if i+1 < len(t.windows) {
		next = t.windows[i+1].kernel
	}
	if w.kernel != nil && next != nil {
		delta := next.since(*w.kernel)
		u.Kernel = &delta
	}
	return u
}
