package bench

import "time"

// pacer is the schedule of one lane. Every due time is computed from the start, so that no rounding and no lateness
// adds up.
type pacer struct {
	start  time.Time
	rate   float64 // operations per second
	offset time.Duration
}

// due returns when operation seq must begin. The first has number 1.
func (p pacer) due(seq int64) time.Time {
	return p.start.Add(p.offset + time.Duration(float64(seq-1)/p.rate*float64(time.Second)))
}

// after returns when the first operation falls due that is due after the given time.
func (p pacer) after(at time.Time) time.Time {
	since := at.Sub(p.start.Add(p.offset))
	if since < 0 {
		return p.due(1)
	}
	seq := int64(since.Seconds()*p.rate) + 1
	for !p.due(seq).After(at) { // rounding may be off by one
		seq++
	}
	return p.due(seq)
}

// op is an operation whose time has come.
type op struct {
	seq    int64
	due    time.Time
	handed time.Time // out to the workers
}

// dispatch hands out operations as they fall due, in turn over the queues, until stop is closed. It never waits for
// a queue: what finds its queue full goes to overflow.
func (p pacer) dispatch(stop <-chan struct{}, queues []chan op, overflow func(op)) {
	clock := newAlarm()
	defer clock.close()
	for seq := int64(1); ; seq++ {
		next := op{seq: seq, due: p.due(seq)}
		if !waitUntil(clock, next.due, stop) {
			return
		}
		next.handed = time.Now()
		select {
		case queues[(seq-1)%int64(len(queues))] <- next:
		default:
			overflow(next)
		}
	}
}

// alarm sleeps precisely, for times too short to be worth an interruption.
type alarm interface {
	sleep(time.Duration)
	close()
}

// longestSleep bounds what an alarm sleeps in one piece, and so how late a stop is noticed.
const longestSleep = 20 * time.Millisecond

// waitUntil returns true at the given time, or false when stop is closed before.
func waitUntil(clock alarm, at time.Time, stop <-chan struct{}) bool {
	if left := time.Until(at); left > longestSleep {
		t := time.NewTimer(left - longestSleep/2)
		defer t.Stop()
		select {
		case <-t.C:
		case <-stop:
			return false
		}
	}
	select {
	case <-stop:
		return false
	default:
	}
	if left := time.Until(at); left > 0 {
		clock.sleep(left)
	}
	return true
}

// sleeper is the alarm that every system has.
type sleeper struct{}

func (sleeper) sleep(d time.Duration) { time.Sleep(d) }
func (sleeper) close()                {}
