package bench

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Plan says what a run does. Lanes must be given; all else has a default.
type Plan struct {
	Lanes []Lane

	Rate  float64 // operations per second and lane; 400 if 0
	Conns int     // connections of each lane whose connections persist; 50 if 0

	// Timeout bounds each operation from when it is sent, its connecting included; 5 s if 0.
	Timeout time.Duration

	// Outstanding bounds how many operations of a lane with new connections are under way at once; 512 if 0.
	Outstanding int

	// StartAt is when the schedule begins; at once if zero. Runs on several machines that are to be one in Merge agree on
	// it, and their clocks must agree too. A run that is not ready by then is an error.
	StartAt time.Time

	Upgrades *Upgrades     // nil: none, the run lasts for Duration
	Duration time.Duration // of a run without upgrades; 10 s if 0

	MaxLost int64       // with more losses than this the verdict is a failure
	Allow   []Allowance // losses that do not count for the verdict

	// LateAfter is how late the client may begin an operation whose connection is free; 100 ms if 0. If more than the
	// fraction MaxLate of all operations (0.01 if 0) is later than that, or could not be sent at all for want of
	// something on the client's side, the run is void. So it is if Report.ClientWait is more than a fifth of LateAfter:
	// the latencies are then the client's more than the server's.
	LateAfter time.Duration
	MaxLate   float64

	// MaxLag bounds how far behind its schedule (see Report.Lag) the client may be with 99 of 100 operations: with more
	// the run is void. If it is 0, nothing is asked below 10,000 operations a second, all lanes together. From there on
	// the client may be 20 operations behind: 1 ms at 20,000 a second.
	MaxLag time.Duration

	Noted    func(string)   // called with each of Report.Notes, before the run begins; may be nil
	Progress func(Progress) // called once a second; may be nil
	Upgraded func(Upgrade)  // called after each upgrade, and again if it is found to have failed later; may be nil
}

// Allowance takes losses of some classes in one lane out of the verdict. They stay in the report.
type Allowance struct {
	Lane    string
	Classes []Class
	Because string // for people, as "the drain deadline ends them"
}

// Progress is how a run goes.
type Progress struct {
	Elapsed    time.Duration
	PerSecond  float64 // operations in the last second
	Operations int64
	Lost       int64
	P99        time.Duration // of the last second
	Generation string        // who answers on the newest connection, or ""
	Upgraded   int           // upgrades that are over, and other events
	Upgrades   int           // that there will be
	Mixed      bool          // there are other events among them
	Lanes      []LaneProgress
}

// LaneProgress is how a lane goes.
type LaneProgress struct {
	Name       string
	Operations int64
	Lost       int64
	P99        time.Duration // of the last second
}

const defaultLateAfter = 100 * time.Millisecond

func orElse[T cmp.Ordered](value *T, otherwise T) {
	var zero T
	if *value == zero {
		*value = otherwise
	}
}

func (p Plan) withDefaults() Plan {
	orElse(&p.Rate, 400)
	orElse(&p.Conns, 50)
	orElse(&p.Timeout, 5*time.Second)
	orElse(&p.Outstanding, 512)
	orElse(&p.Duration, 10*time.Second)
	orElse(&p.LateAfter, defaultLateAfter)
	orElse(&p.MaxLate, 0.01)
	if p.Upgrades != nil {
		u := p.Upgrades.withDefaults()
		p.Upgrades = &u
	}
	if p.Noted == nil {
		p.Noted = func(string) {}
	}
	if p.Progress == nil {
		p.Progress = func(Progress) {}
	}
	if p.Upgraded == nil {
		p.Upgraded = func(Upgrade) {}
	}
	return p
}

func (p Plan) validate() error {
	var names []string
	for _, l := range p.Lanes {
		names = append(names, l.Name())
	}
	slices.Sort(names)
	switch {
	case len(names) == 0:
		return errors.New("no lanes")
	case len(slices.Compact(slices.Clone(names))) < len(names):
		return fmt.Errorf("two lanes of one name among %q", names)
	case p.Rate < 0 || p.Conns < 0 || p.Outstanding < 0 || p.MaxLost < 0 || p.MaxLate < 0:
		return errors.New("a number is negative")
	case p.Timeout < 0 || p.Duration < 0 || p.LateAfter < 0 || p.MaxLag < 0:
		return errors.New("a duration is negative")
	}
	if p.Upgrades != nil {
		return p.Upgrades.validate()
	}
	return nil
}
