package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// run is one run of a plan.
type run struct {
	Plan
	lanes   []*laneRun
	windows timeline
	seen    *generations
	driver  *driver
	giveUp  atomic.Int64 // see worker
	started time.Time
	ended   time.Time
	over    atomic.Int64 // upgrades that are over
	self    selfWait
	notes   []string
	kernel  [2]*Kernel // what it had counted at the beginning and at the end, or nil
}

type laneRun struct {
	Lane
	workers  []*worker
	queues   []chan op
	recorder *recorder
	tap      tap
}

// Run carries out a plan. It returns an error if the run could not begin: the plan is wrong, a server cannot be
// reached, or does not answer as its lane needs it. Whatever goes wrong later is in the report. When ctx ends before the
// run does, the report holds what was counted so far.
func Run(ctx context.Context, plan Plan) (Report, error) {
	plan = plan.withDefaults()
	if err := plan.validate(); err != nil {
		return Report{}, fmt.Errorf("bench plan: %w", err)
	}
	r := &run{Plan: plan, seen: newGenerations(), windows: timeline{witness: readKernel}}
	work, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	if err := r.open(work); err != nil {
		return Report{}, err
	}
	if err := r.wait(work); err != nil {
		r.closeAll()
		return Report{}, err
	}
	r.work(work, fail)
	var broken panicError
	if errors.As(context.Cause(work), &broken) {
		return Report{}, broken
	}
	var interrupted error
	if ctx.Err() != nil {
		interrupted = context.Cause(ctx)
	}
	return r.summary(interrupted), nil
}

// open probes every lane and opens the connections that persist, so that the first operations do not pay for it.
func (r *run) open(ctx context.Context) error {
	if r.Upgrades != nil && r.Upgrades.PIDFile != "" {
		if err := livePID(r.Upgrades.PIDFile); err != nil {
			return fmt.Errorf("pidfile: %w", err)
		}
	}
	for _, lane := range r.Lanes {
		probed := time.Now()
		generation, err := lane.Probe(ctx)
		if err != nil {
			return err
		}
		if generation != "" {
			r.seen.saw(generation, probed, time.Now())
		}
		if noting, ok := lane.(interface{ note() string }); ok {
			r.note(noting.note())
		}
		r.lanes = append(r.lanes, r.prepare(ctx, lane))
	}
	if u := r.Upgrades; u != nil && u.PIDFile == "" && r.seen.now() == "" && slices.Contains(u.Kinds, KindUpgrade) {
		r.note("nothing tells generations apart (a pidfile, or a response header): an upgrade that changed nothing looks like one that did")
	}
	for _, l := range r.lanes {
		if !l.Persistent() {
			continue
		}
		for i, w := range l.workers {
			result := w.client.Do(0, time.Now().Add(r.Timeout))
			if result.Class != OK {
				r.closeAll()
				return fmt.Errorf("%s: connection %d of %d: %w", l.Name(), i+1, len(l.workers), result.Err)
			}
			w.shard.warm(result)
		}
	}
	return nil
}

// note keeps what a person should know, and tells it at once.
func (r *run) note(text string) {
	if text != "" && !slices.Contains(r.notes, text) {
		r.notes = append(r.notes, text)
		r.Noted(text)
	}
}

// wait waits for the agreed start.
func (r *run) wait(ctx context.Context) error {
	if r.StartAt.IsZero() {
		return nil
	}
	left := time.Until(r.StartAt)
	if left < 0 {
		return fmt.Errorf("the agreed start was %v before all was ready; agree on a later one", -left.Round(time.Millisecond))
	}
	sleepUntil(ctx, time.Now().Add(left))
	return context.Cause(ctx)
}

func (r *run) closeAll() {
	for _, l := range r.lanes {
		for _, w := range l.workers {
			w.client.Close()
		}
	}
}

const longestQueue = 1 << 16

func (r *run) prepare(ctx context.Context, lane Lane) *laneRun {
	l := &laneRun{Lane: lane}
	workers, queues := r.Outstanding, 1
	if lane.Persistent() {
		workers, queues = r.Conns, r.Conns
	}
	// A queue holds what falls due while a server hangs for as long as it may. Longer queues would only hide that the
	// schedule is lost.
	depth := 2 + min(int(r.Rate*r.Timeout.Seconds()), longestQueue)/queues
	for range queues {
		l.queues = append(l.queues, make(chan op, depth))
	}
	l.recorder = newRecorder(workers, r.LateAfter, &r.windows, r.seen)
	for id := range workers {
		client := lane.Client(ctx, id)
		l.tap.on(client)
		l.workers = append(l.workers, &worker{
			client:  client,
			timeout: r.Timeout,
			shard:   l.recorder.shard(id),
			seen:    r.seen,
			giveUp:  &r.giveUp,
		})
	}
	return l
}

// work runs the lanes, and upgrades the server, until the plan is through or ctx ends.
func (r *run) work(ctx context.Context, fail context.CancelCauseFunc) {
	all := crew{fail: fail}
	stop := make(chan struct{})
	r.self.begin()
	r.kernel[0] = kernelNow()
	r.started = time.Now()
	if !r.StartAt.IsZero() { // the same for all who agreed on it, by the wall clock, and with a monotonic reading
		r.started = r.started.Add(r.StartAt.Round(0).Sub(r.started))
	}
	for i, l := range r.lanes {
		// The lanes' schedules are shifted against each other, so that the bench makes no bursts of its own.
		shift := time.Duration(float64(i) / float64(len(r.lanes)) / r.Rate * float64(time.Second))
		pace := pacer{start: r.started, rate: r.Rate, offset: shift}
		l.recorder.begin(pace)
		all.Go(func() {
			defer func() {
				for _, q := range l.queues {
					close(q)
				}
			}()
			pace.dispatch(stop, l.queues, func(o op) { l.recorder.shard(0).unsent(o.due, time.Now()) })
		})
		for id, w := range l.workers {
			all.Go(func() { w.run(ctx, l.queues[id%len(l.queues)]) })
		}
	}
	all.Go(func() { r.tick(ctx, stop) })

	all.Go(func() {
		defer func() {
			r.ended = time.Now()
			r.kernel[1] = kernelNow()
			r.giveUp.Store(r.ended.Add(r.Timeout).UnixNano())
			close(stop)
		}()
		r.drive(ctx)
	})
	all.Wait()
}

func (r *run) drive(ctx context.Context) {
	if r.Upgrades == nil {
		sleepUntil(ctx, r.started.Add(r.Duration))
		return
	}
	r.driver = &driver{
		Upgrades: *r.Upgrades,
		start:    r.started,
		seen:     r.seen,
		windows:  &r.windows,
		patience: pidPatience,
		around:   r.around,
		report: func(u Upgrade) {
			r.over.Store(int64(u.Number))
			r.Upgraded(u)
		},
	}
	r.driver.run(ctx)
}

// around tells the timed lanes that an upgrade begins, and returns what tells them that it is over.
func (r *run) around() (over func()) {
	done := make(chan struct{})
	for _, l := range r.lanes {
		if timed, ok := l.Lane.(Timed); ok {
			timed.Around(done)
		}
	}
	return func() { close(done) }
}

// tick tells once a second how the run goes.
func (r *run) tick(ctx context.Context, stop <-chan struct{}) {
	every := time.NewTicker(time.Second)
	defer every.Stop()
	last := r.started
	var before int64
	all, one := newCoarse(), newCoarse()
	for {
		select {
		case <-every.C:
		case <-stop:
			return
		case <-ctx.Done():
			return
		}
		now := time.Now()
		p := Progress{Elapsed: now.Sub(r.started), Generation: r.seen.now(), Upgraded: int(r.over.Load())}
		if r.Upgrades != nil {
			p.Upgrades, p.Mixed = r.Upgrades.Count, r.Upgrades.mixed()
		}
		all.Reset()
		for _, l := range r.lanes {
			one.Reset()
			lane := LaneProgress{Name: l.Name()}
			lane.Operations, lane.Lost = l.recorder.tick(one)
			lane.P99 = one.quantile(99)
			all.merge(one)
			p.Operations += lane.Operations
			p.Lost += lane.Lost
			p.Lanes = append(p.Lanes, lane)
		}
		p.PerSecond = float64(p.Operations-before) / now.Sub(last).Seconds()
		p.P99 = all.quantile(99)
		before, last = p.Operations, now
		r.Progress(p)
	}
}
