package relay

import "time"

const (
	wheelTick  = 100 * time.Millisecond
	wheelSlots = 512
)

// A wheel knows which relays may have been idle for too long. It is lazy: a byte that moves costs nothing here. When a
// relay's slot comes round, its owner looks when the last byte moved and, if that was late enough, puts the relay back.
type wheel struct {
	slots [wheelSlots]*timer // doubly linked lists
	tick  int64              // all slots up to this tick have been looked at
	armed int
}

// A timer is a relay's place in the wheel.
type timer struct {
	r          *Relay
	prev, next *timer
	slot       int
	armed      bool
}

// arm puts t where it comes up at, or soon after, the time at. A time further off than the wheel reaches comes up
// early, which a lazy owner does not mind.
func (w *wheel) arm(t *timer, at, now time.Duration) {
	if w.armed == 0 {
		w.tick = int64(now / wheelTick)
	}
	tick := int64((at + wheelTick - 1) / wheelTick)
	tick = min(max(tick, w.tick+1), w.tick+wheelSlots-1)
	t.slot, t.armed = int(tick%wheelSlots), true
	t.prev, t.next = nil, w.slots[t.slot]
	if t.next != nil {
		t.next.prev = t
	}
	w.slots[t.slot] = t
	w.armed++
}

// disarm takes t out, if it is in.
func (w *wheel) disarm(t *timer) {
	if !t.armed {
		return
	}
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		w.slots[t.slot] = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	}
	t.prev, t.next, t.armed = nil, nil, false
	w.armed--
}

// wait returns the time until the next tick that is worth waking up for; negative is for ever.
func (w *wheel) wait(now time.Duration) time.Duration {
	if w.armed == 0 {
		return -1
	}
	return max(0, time.Duration(w.tick+1)*wheelTick-now)
}

// expire takes out every timer whose slot has come round by now and calls f for it. f may arm it again.
func (w *wheel) expire(now time.Duration, f func(*Relay)) {
	for last := int64(now / wheelTick); w.armed > 0 && w.tick < last; {
		w.tick++
		slot := &w.slots[w.tick%wheelSlots]
		for t := *slot; t != nil; t = *slot {
			w.disarm(t)
			f(t.r)
		}
	}
}
