package bench

import (
	"context"
	"sync/atomic"
	"time"
)

// worker takes operations from a queue and lets its client carry them out.
type worker struct {
	client  Client
	timeout time.Duration
	shard   *shard
	seen    *generations
	giveUp  *atomic.Int64 // Unix nanoseconds after which what is still queued is not sent; 0: not yet known
}

// run works the queue off until it is closed. When ctx ends, the operation at hand is forgotten, since it was the
// bench that broke it off.
func (w *worker) run(ctx context.Context, queue <-chan op) {
	defer w.client.Close()
	waiter, _ := w.client.(Waiter)
	var free time.Time // when the client could have taken the next operation
	for o := range queue {
		begin := time.Now()
		if end := w.giveUp.Load(); end != 0 && begin.UnixNano() > end {
			w.shard.unsent(o.due, begin)
			continue
		}
		// Late is the client's own doing only for as long as it had nothing else to do.
		could := o.due
		if free.After(could) {
			could = free
		}
		result := w.client.Do(o.seq, begin.Add(w.timeout))
		end := time.Now()
		if ctx.Err() != nil {
			return
		}
		if result.Generation != "" {
			w.seen.saw(result.Generation, result.Dialled, end)
		}
		if result.Class == OK {
			w.seen.succeeded(begin, end)
		}
		var waited time.Duration
		if waiter != nil {
			waited = waiter.Waited()
		}
		// What it waited by choice kept the server from nothing, but it may have kept the next operation from its client.
		free = end.Add(-waited)
		w.shard.record(outcome{
			Result: result, due: o.due, end: end, waited: waited, late: begin.Sub(could), lag: o.handed.Sub(o.due),
		})
	}
}
