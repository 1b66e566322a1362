package bench

import (
	"sync"
	"time"
)

// recorder counts what a lane's operations came to. It is cut into shards, each for some of the workers, so that they
// do not wait for each other and memory does not grow with their number.
type recorder struct {
	shards []*shard
}

const shardsPerLane = 8

type shard struct {
	lateAfter time.Duration

	mu sync.Mutex
	tally
	recent histogram // since the last progress line
}

// tally is what a shard holds, and what all of a lane's shards add up to.
type tally struct {
	done, ok, opened, renewed int64
	resumed                   int64 // of opened
	failures                  map[Failure]failed
	late                      int64 // began too late, and it was the client's doing
	latest                    time.Duration
	steady, upgrading         histogram
}

type failed struct {
	count  int64
	sample string // the first one's error
}

func newTally() tally {
	return tally{failures: map[Failure]failed{}, steady: newHistogram(), upgrading: newHistogram()}
}

func newRecorder(workers int, lateAfter time.Duration) *recorder {
	r := &recorder{shards: make([]*shard, max(1, min(workers, shardsPerLane)))}
	for i := range r.shards {
		r.shards[i] = &shard{lateAfter: lateAfter, tally: newTally(), recent: newHistogram()}
	}
	return r
}

func (r *recorder) shard(worker int) *shard { return r.shards[worker%len(r.shards)] }

// record counts one operation. Only those that succeeded have a latency: a request that was refused was not fast.
func (s *shard) record(r Result, latency, late time.Duration, within bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done++
	s.connections(r)
	if late > s.lateAfter {
		s.late++
	}
	s.latest = max(s.latest, late)
	if r.Class != OK {
		s.fail(r.Failure, r.Err.Error())
		return
	}
	s.ok++
	s.recent.add(latency)
	if within {
		s.upgrading.add(latency)
	} else {
		s.steady.add(latency)
	}
}

// unsent counts an operation that was due and never left.
func (s *shard) unsent() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done++
	s.fail(Failure{Class: ClientBacklog}, "every connection was still busy")
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

func (t *tally) fail(why Failure, sample string) {
	f := t.failures[why]
	if f.count == 0 {
		f.sample = sample
	}
	f.count++
	t.failures[why] = f
}

func (t *tally) lost() (n int64) {
	for why, f := range t.failures {
		if why.Class.Lost() {
			n += f.count
		}
	}
	return n
}

// total adds the shards up.
func (r *recorder) total() tally {
	sum := newTally()
	for _, s := range r.shards {
		s.mu.Lock()
		sum.done += s.done
		sum.ok += s.ok
		sum.opened += s.opened
		sum.renewed += s.renewed
		sum.resumed += s.resumed
		sum.late += s.late
		sum.latest = max(sum.latest, s.latest)
		sum.steady.merge(s.steady)
		sum.upgrading.merge(s.upgrading)
		for why, f := range s.failures {
			have := sum.failures[why]
			if have.count == 0 {
				have.sample = f.sample
			}
			have.count += f.count
			sum.failures[why] = have
		}
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
