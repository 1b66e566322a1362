package relay

import (
	"time"
)

// To have another goroutine woken costs as much as an eighth of a short connection. So the loop tells of ends together:
// of many at once, or of all after a while.
const (
	tellMany = 64
	tellTime = 5 * time.Millisecond
)

// endings are ended relays whose owners have not been told.
type endings struct {
	all []ending
	due time.Duration // when to tell, on the loop's clock
}

type ending struct {
	tell   func(Result)
	result Result
}

func (es *endings) add(tell func(Result), result Result, now time.Duration) {
	if len(es.all) == 0 {
		es.due = now + tellTime
	}
	es.all = append(es.all, ending{tell, result})
}

// wait returns for how long a loop may sleep that would for d; a negative one is for ever.
func (es *endings) wait(d, now time.Duration) time.Duration {
	if len(es.all) == 0 {
		return d
	}
	if left := max(0, es.due-now); d < 0 || left < d {
		return left
	}
	return d
}

func (es *endings) ready(now time.Duration) bool {
	return len(es.all) >= tellMany || len(es.all) > 0 && now >= es.due
}

// tell tells the owners, one after the other.
func (l *loop) tell() {
	all := l.endings.all
	l.endings.all = nil
	l.engine.wg.Go(func() {
		for _, e := range all {
			e.tell(e.result)
		}
	})
}
