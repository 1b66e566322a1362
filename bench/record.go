package bench

import (
	"sync"
	"time"
)

// recorder counts what a lane's operations came to. It is cut into shards, each for some of the workers, so that they
// do not wait for each other and memory does not grow with their number.
type recorder struct {
	lateAfter time.Duration
	windows   *timeline
	seen      *generations
	start     time.Time // of the run
	shards    []*shard
	series    *series
	stall     stall
	losses    losses
}

const shardsPerLane = 8

type shard struct {
	of *recorder

	mu sync.Mutex
	tally
	recent histogram // since the last progress line
}

// tally is what a shard holds, and what all of a lane's shards add up to.
type tally struct {
	done, ok, opened, renewed   int64
	resumed                     int64 // of opened
	hidden, refused, duplicates int64
	failures                    map[Failure]failed
	late                        int64 // began too late, and it was the client's doing
	latest                      time.Duration
	lag                         histogram // how late the schedule was, by whichever of the two shows more
	parts                       [parts]partTally
}

// partTally is what was counted in one part of a run.
type partTally struct {
	done, ok, lost, limited int64
	latency                 histogram
}

type failed struct {
	count  int64
	sample string // the first one's error
}

// outcome is one operation that is over.
type outcome struct {
	Result
	due, end time.Time
	waited   time.Duration // of the time between, by the client's choice
	late     time.Duration // how long it waited for its client and had no other reason to
	lag      time.Duration // how late it was handed to its client
}

// latency is how long the operation took, without what its client waited by choice.
func (o outcome) latency() time.Duration { return o.end.Sub(o.due) - o.waited }

func newTally() tally {
	t := tally{failures: map[Failure]failed{}, lag: newCoarse()}
	for i := range t.parts {
		t.parts[i].latency = newHistogram()
	}
	return t
}

func newRecorder(workers int, lateAfter time.Duration, windows *timeline, seen *generations) *recorder {
	r := &recorder{lateAfter: lateAfter, windows: windows, seen: seen, series: newSeries()}
	for range max(1, min(workers, shardsPerLane)) {
		r.shards = append(r.shards, &shard{of: r, tally: newTally(), recent: newCoarse()})
	}
	return r
}

// begin is called before the first operation.
func (r *recorder) begin(pace pacer) {
	r.start, r.stall.pace = pace.start, pace
}

func (r *recorder) shard(worker int) *shard { return r.shards[worker%len(r.shards)] }

// record counts one operation. Only those that succeeded have a latency: a request that was refused was not fast.
func (s *shard) record(o outcome) {
	r := s.of
	where := r.windows.place(o.due, o.end)
	s.count(o, where)
	r.series.add(o.end.Sub(r.start), o.Result, o.latency())
	switch {
	case o.Class == OK:
		r.stall.success(o.end, o.waited)
	case o.Class.Lost():
		r.lost(o, where)
	}
}

func (s *shard) count(o outcome, where part) {
	s.mu.Lock()
	defer s.mu.Unlock()
	latency := o.latency()
	s.connections(o.Result)
	if o.late > s.of.lateAfter {
		s.late++
	}
	s.latest = max(s.latest, o.late)
	s.lag.add(max(o.late, o.lag))
	s.flags(o.Result)
	s.ended(o.Failure, where)
	if o.Class != OK {
		s.fail(o.Failure, o.Err.Error())
		return
	}
	s.recent.add(latency)
	s.parts[where].latency.add(latency)
}

// lost keeps a loss with all that is known of it.
func (r *recorder) lost(o outcome, where part) {
	generation := o.Generation
	if generation == "" {
		generation = r.seen.now()
	}
	r.losses.add(Loss{
		Failure:    o.Failure,
		At:         o.end.Sub(r.start).Seconds(),
		Latency:    ms(o.latency()),
		Upgrade:    r.windows.lost(o.end),
		Within:     where == during,
		Generation: generation,
		Hidden:     o.Hidden,
		Refused:    o.Refused,
		Duplicate:  o.Duplicate,
		Sample:     o.Err.Error(),
	})
}

// unsent counts an operation that was due and never left, as was clear at the given time.
func (s *shard) unsent(due, at time.Time) {
	where := s.of.windows.place(due, at)
	why := Failure{Class: ClientBacklog}
	s.of.series.add(at.Sub(s.of.start), Result{Failure: why}, 0)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended(why, where)
	s.fail(why, "every connection was still busy")
}

// warm counts a connection that was opened before the run.
func (s *shard) warm(r Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connections(r)
}

func (t *tally) connections(r Result) {
	t.opened += int64(r.Opened)
	if r.Renewed {
		t.renewed++
	}
	if r.Resumed {
		t.resumed++
	}
}

func (t *tally) flags(r Result) {
	if r.Duplicate {
		t.duplicates++
	}
	if !r.Class.Lost() {
		return
	}
	if r.Hidden {
		t.hidden++
	}
	if r.Refused {
		t.refused++
	}
}

func (t *tally) ended(why Failure, where part) {
	p := &t.parts[where]
	t.done++
	p.done++
	switch {
	case why.Class == OK:
		t.ok++
		p.ok++
	case why.Class.Lost():
		p.lost++
	default:
		p.limited++
	}
}

func (t *tally) fail(why Failure, sample string) {
	f := t.failures[why]
	if f.count == 0 {
		f.sample = sample
	}
	f.count++
	t.failures[why] = f
}

func (t *tally) lost() (n int64) {
	for _, p := range t.parts {
		n += p.lost
	}
	return n
}

func (t *tally) add(other *tally) {
	t.done += other.done
	t.ok += other.ok
	t.opened += other.opened
	t.renewed += other.renewed
	t.resumed += other.resumed
	t.hidden += other.hidden
	t.refused += other.refused
	t.duplicates += other.duplicates
	t.late += other.late
	t.latest = max(t.latest, other.latest)
	t.lag.merge(other.lag)
	for i := range t.parts {
		t.parts[i].add(&other.parts[i])
	}
	for why, f := range other.failures {
		have := t.failures[why]
		if have.count == 0 {
			have.sample = f.sample
		}
		have.count += f.count
		t.failures[why] = have
	}
}

func (p *partTally) add(other *partTally) {
	p.done += other.done
	p.ok += other.ok
	p.lost += other.lost
	p.limited += other.limited
	p.latency.merge(other.latency)
}

// total adds the shards up.
func (r *recorder) total() tally {
	sum := newTally()
	for _, s := range r.shards {
		s.mu.Lock()
		sum.add(&s.tally)
		s.mu.Unlock()
	}
	return sum
}

// tick returns what is counted so far, and adds the latencies since the tick before to recent.
func (r *recorder) tick(recent histogram) (done, lost int64) {
	for _, s := range r.shards {
		s.mu.Lock()
		done += s.done
		lost += s.lost()
		recent.merge(s.recent)
		s.recent.Reset()
		s.mu.Unlock()
	}
	return done, lost
}
