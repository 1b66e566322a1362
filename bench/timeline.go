package bench

import (
	"sync"
	"time"
)

// timeline is when upgrades were under way.
type timeline struct {
	mu      sync.RWMutex
	windows []window
	losses  int64 // before the first upgrade
}

type window struct {
	from, to time.Time // to is zero while the upgrade is under way
	losses   int64     // from its signal until the next one's
}

func (t *timeline) open(at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.windows = append(t.windows, window{from: at})
}

// close ends the last window.
func (t *timeline) close(at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.windows[len(t.windows)-1].to = at
}

// touches reports whether an operation that was due at from and over at to met a window.
func (t *timeline) touches(from, to time.Time) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for i := len(t.windows) - 1; i >= 0; i-- {
		w := t.windows[i]
		if !w.to.IsZero() && w.to.Before(from) {
			return false
		}
		if !w.from.After(to) {
			return true
		}
	}
	return false
}

// lost ties a loss that was seen at the given time to the upgrade that was signalled last before it.
func (t *timeline) lost(at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := len(t.windows) - 1; i >= 0; i-- {
		if !t.windows[i].from.After(at) {
			t.windows[i].losses++
			return
		}
	}
	t.losses++
}

// lostIn returns the losses tied to upgrade i, counted from 0.
func (t *timeline) lostIn(i int) int64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.windows[i].losses
}
