package bench

import (
	"sync"
	"time"
)

// stall finds the longest time in which operations of a lane were due and none succeeded. Such a time begins when the
// first operation falls due after a success, and not with that success: at one operation a second, a second without any
// is no stall. Nor is the time that the client of that success waited by its own choice.
type stall struct {
	pace pacer

	mu      sync.Mutex
	last    time.Time // success; zero before the first
	longest time.Duration
	from    time.Time
}

// success tells of one. They may come a little out of order.
func (s *stall) success(at time.Time, waited time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at.After(s.last) {
		s.until(at, waited)
		s.last = at
	}
}

// finish is called at the end of the schedule.
func (s *stall) finish(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until(at, 0)
}

func (s *stall) until(at time.Time, waited time.Duration) {
	if s.pace.rate == 0 {
		return
	}
	from := s.pace.after(s.last)
	if gap := at.Sub(from) - waited; gap > s.longest {
		s.longest, s.from = gap, from
	}
}
