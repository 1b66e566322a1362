package bench

import (
	"maps"
	"sync"
	"time"
)

// ProcessUsage is what the server's processes came to, from one event's trigger until the event's window was over and
// the old process gone, or until the next event. They are the process that the pidfile names, all that it has started,
// and those that it named before, with theirs, for as long as they live.
//
// Memory and counts are sampled, every 100 ms during an event and every second otherwise, so a shorter peak is missed.
type ProcessUsage struct {
	ProcessesBefore int `json:"processes_before"` // at the trigger
	ProcessesPeak   int `json:"processes_peak"`
	ProcessesAfter  int `json:"processes_after"`
	// GenerationsPeak is how many processes that the pidfile named at some time lived at once, at the most.
	GenerationsPeak int `json:"generations_peak"`

	// RSS counts memory that processes share once for each of them, PSS once in all. PSS is 0 where it may not be read.
	RSSBefore int64 `json:"rss_before_bytes"`
	RSSPeak   int64 `json:"rss_peak_bytes"`
	PSSBefore int64 `json:"pss_before_bytes"`
	PSSPeak   int64 `json:"pss_peak_bytes"`

	// CPU is the processes' user and system time, in all, to some 10 ms for each process.
	CPU float64 `json:"cpu_s"`
}

// MemoryPeak is the peak of the memory over that before the event, as 2.1, by PSS where that is known. It is 0 if
// neither is.
func (u ProcessUsage) MemoryPeak() float64 {
	switch {
	case u.PSSBefore > 0:
		return float64(u.PSSPeak) / float64(u.PSSBefore)
	case u.RSSBefore > 0:
		return float64(u.RSSPeak) / float64(u.RSSBefore)
	default:
		return 0
	}
}

// process is one process at one time.
type process struct {
	parent  int
	started uint64 // in the system's own unit; tells a process from a later one of the same pid
	cpu     float64
	rss     int64
}

const (
	aliveEvery  = 10 * time.Millisecond // how exact the time is at which an old process was gone
	sampleEvery = 100 * time.Millisecond
	idleEvery   = time.Second
)

// census follows the server's processes.
type census struct {
	pid func() (int, error) // whom the pidfile names

	mu      sync.Mutex
	members map[int]process // that lived at the last sample
	masters map[int]uint64  // pid to start of those of the members whom the pidfile named
	spent   float64         // CPU seconds of members that have ended
	sampled time.Time
	blind   bool // processes cannot be looked at
	entries []*entry
}

// entry is what the census knows of one event.
type entry struct {
	begun time.Time
	old   int // 0: nobody
	was   process
	gone  time.Time
	over  time.Time // when the event's window is
	usage *ProcessUsage
	cpu   float64 // of the census, at the trigger
	last  bool    // its usage is whole
}

func newCensus(pid func() (int, error)) *census {
	c := &census{pid: pid, members: map[int]process{}, masters: map[int]uint64{}}
	c.sample(time.Now())
	return c
}

// watch looks at the processes until stop is called.
func (c *census) watch() (stop func()) {
	quit := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		every := time.NewTicker(aliveEvery)
		defer every.Stop()
		for {
			select {
			case now := <-every.C:
				c.tick(now)
			case <-quit:
				return
			}
		}
	})
	return func() {
		close(quit)
		watching.Wait()
	}
}

// begin takes note of an event that is about to be triggered, and of the process that it is to replace, 0 for none.
func (c *census) begin(old int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sample(time.Now()) // which also brings the event before up to date
	for _, e := range c.entries {
		e.last = true
	}
	e := &entry{begun: time.Now(), old: old}
	if old != 0 {
		was, err := readProcess(old)
		if err != nil {
			e.old = 0
		}
		e.was = was
	}
	if !c.blind && len(c.members) > 0 {
		rss, pss := c.memory()
		e.cpu = c.cpu()
		e.usage = &ProcessUsage{ProcessesBefore: len(c.members), RSSBefore: rss, PSSBefore: pss}
		e.add(c, rss, pss)
	}
	c.entries = append(c.entries, e)
}

// children returns those of pid at the last sample; see childrenAmong.
func (c *census) children(pid int) map[int]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return childrenAmong(c.members, pid)
}

// childrenAmong returns the processes that pid has started, by pid with their start.
func childrenAmong(all map[int]process, pid int) map[int]uint64 {
	children := make(map[int]uint64)
	for child, p := range all {
		if p.parent == pid {
			children[child] = p.started
		}
	}
	return children
}

// end says when the window of the last event is over. It is called at the takeover, when both generations live.
func (c *census) end(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries[len(c.entries)-1].over = at
	c.sample(time.Now())
}

// of returns what is known of event i, from 0.
func (c *census) of(i int) entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	return *c.entries[i]
}

func (c *census) tick(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.entries {
		if e.old != 0 && e.gone.IsZero() {
			if is, err := readProcess(e.old); err != nil || is.started != e.was.started {
				e.gone = now
			}
		}
	}
	every := idleEvery
	if c.current() != nil {
		every = sampleEvery
	}
	if now.Sub(c.sampled) >= every {
		c.sample(now)
	}
}

// current is the event that is still to be added to, or nil.
func (c *census) current() *entry {
	if len(c.entries) == 0 {
		return nil
	}
	e := c.entries[len(c.entries)-1]
	if e.last || e.usage == nil {
		return nil
	}
	return e
}

// sample looks at all processes once.
func (c *census) sample(now time.Time) {
	c.sampled = now
	if c.blind {
		return
	}
	all, err := readProcesses()
	if err != nil {
		c.blind = true
		return
	}
	c.update(all)
	if e := c.current(); e != nil {
		rss, pss := c.memory()
		e.add(c, rss, pss)
		replaced := e.gone.IsZero() && e.old != 0 && c.master() != e.old
		e.last = !e.over.IsZero() && now.After(e.over) && !replaced
	}
}

// master is the pid that the pidfile names, or 0.
func (c *census) master() int {
	pid, err := c.pid()
	if err != nil {
		return 0
	}
	return pid
}

// update brings the members up to date: those that live on, the one in the pidfile, and all that these have started.
func (c *census) update(all map[int]process) {
	for pid, was := range c.members {
		if is, lives := all[pid]; !lives || is.started != was.started {
			c.spent += was.cpu
			delete(c.members, pid)
			delete(c.masters, pid)
		}
	}
	if pid := c.master(); pid != 0 {
		if is, lives := all[pid]; lives {
			c.members[pid], c.masters[pid] = is, is.started
		}
	}
	for pid := range c.members {
		c.members[pid] = all[pid]
	}
	for grown := true; grown; {
		known := maps.Clone(c.members)
		grown = false
		for pid, p := range all {
			_, member := known[pid]
			if _, child := known[p.parent]; child && !member {
				c.members[pid] = p
				grown = true
			}
		}
	}
}

func (c *census) memory() (rss, pss int64) {
	for pid, p := range c.members {
		rss += p.rss
		pss += readPSS(pid)
	}
	return rss, pss
}

func (c *census) cpu() float64 {
	sum := c.spent
	for _, p := range c.members {
		sum += p.cpu
	}
	return sum
}

func (e *entry) add(c *census, rss, pss int64) {
	u := e.usage
	u.ProcessesAfter = len(c.members)
	u.ProcessesPeak = max(u.ProcessesPeak, len(c.members))
	u.GenerationsPeak = max(u.GenerationsPeak, len(c.masters))
	u.RSSPeak, u.PSSPeak = max(u.RSSPeak, rss), max(u.PSSPeak, pss)
	u.CPU = c.cpu() - e.cpu
}
