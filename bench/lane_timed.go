package bench

import (
	"context"
	"sync"
	"syscall"
	"time"
)

// Timed is a lane whose operations wait in their middle, so that upgrades happen while they are half done: half a
// request, half a handshake, a connection on which nothing has been said yet.
//
// Without Around each operation waits for a fixed time, so that some are under way whenever an upgrade begins. With it
// those also wait until the takeover is over, however long that takes, up to half of the time that the operation has.
type Timed interface {
	Lane
	// Around is called when an upgrade begins, with a channel that is closed when its takeover is complete or has
	// failed. It does not block.
	Around(over <-chan struct{})
}

// Waiter is a client that waits by its own choice, which is not the server's latency.
type Waiter interface {
	// Waited returns how long the client chose to wait during the last Do.
	Waited() time.Duration
}

// timed is a lane that is Timed. It shares what it can with the other lanes of its protocol, and do sets it apart.
type timed[C tapper] struct {
	prober
	*hold
	client func(ctx context.Context, id int) C
	// do carries out an operation, calls wait in its middle, and leaves no connection open.
	do func(c C, seq int64, deadline time.Time, wait func()) Result
}

type prober interface {
	Name() string
	Probe(ctx context.Context) (generation string, err error)
}

type tapper interface{ Tap(func(syscall.RawConn)) }

func (*timed[C]) Persistent() bool { return false }

func (l *timed[C]) Client(ctx context.Context, id int) Client {
	return &timedClient[C]{of: l, ctx: ctx, client: l.client(ctx, id)}
}

// secure passes on what the report of handshakes asks a lane of HTTP: the prober's type hides it.
func (l *timed[C]) secure() bool {
	at, ok := l.prober.(interface{ secure() bool })
	return ok && at.secure()
}

type timedClient[C tapper] struct {
	of     *timed[C]
	ctx    context.Context
	client C
	waited time.Duration
}

func (c *timedClient[C]) Do(seq int64, deadline time.Time) Result {
	c.waited = 0
	return c.of.do(c.client, seq, deadline, func() { c.waited += c.of.wait(c.ctx, deadline) })
}

// Waited implements Waiter.
func (c *timedClient[C]) Waited() time.Duration { return c.waited }

// Tap implements Tapped.
func (c *timedClient[C]) Tap(look func(syscall.RawConn)) { c.client.Tap(look) }

func (c *timedClient[C]) Close() {}

// DefaultHold is how long the operations of a timed lane wait in their middle.
const DefaultHold = 500 * time.Millisecond

const (
	// mostHeld bounds how many operations of a lane wait at once. Those above go through without waiting, since a lane
	// has only so many clients (Plan.Outstanding).
	mostHeld = 256
	// mostAcross bounds how many of them wait until an upgrade is over, for the same reason.
	mostAcross = 64
)

// hold lets operations wait for a time, or for the end of the upgrade that began meanwhile.
type hold struct {
	pause time.Duration

	mu    sync.Mutex
	begun chan struct{} // closed when the next upgrade begins
	over  <-chan struct{}
	held  int // operations that wait
	room  int // how many more may wait for the upgrade at hand
}

func newHold(pause time.Duration) *hold {
	orElse(&pause, DefaultHold)
	return &hold{pause: pause, begun: make(chan struct{})}
}

// Around implements Timed.
func (h *hold) Around(over <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over, h.room = over, mostAcross
	close(h.begun)
	h.begun = make(chan struct{})
}

// wait returns how long it waited, which is at most half of the time until deadline.
func (h *hold) wait(ctx context.Context, deadline time.Time) time.Duration {
	from := time.Now()
	most := deadline.Sub(from) / 2
	begun, ok := h.enter()
	if !ok {
		return 0
	}
	defer h.leave()
	pause := time.NewTimer(min(h.pause, most))
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
	case <-begun:
		if over, ok := h.across(); ok {
			await(ctx, over, most-time.Since(from))
			break
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	}
	return time.Since(from)
}

func await(ctx context.Context, over <-chan struct{}, most time.Duration) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-over:
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (h *hold) enter() (begun <-chan struct{}, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held >= mostHeld {
		return nil, false
	}
	h.held++
	return h.begun, true
}

func (h *hold) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held--
}

// across takes a place among those that wait for the upgrade's end.
func (h *hold) across() (over <-chan struct{}, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.room == 0 {
		return nil, false
	}
	h.room--
	return h.over, true
}
