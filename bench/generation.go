package bench

import (
	"sync"
	"sync/atomic"
	"time"
)

// generations follows which generation of the server answers.
//
// An old generation that drains goes on answering on its old connections, and a version that comes back, as B to A
// after A to B, has an old name. So what counts is who answers on the newest connection.
type generations struct {
	mu      sync.Mutex
	current string // who answered on the newest connection
	dialled time.Time
	known   map[string]bool

	waiting bool // for somebody other than `not`
	not     string
	since   time.Time
	arrived chan arrival

	sentAfter atomic.Int64 // Unix nanoseconds: an answer to what was sent after this is waited for; 0: none is
	answered  chan time.Time
}

type arrival struct {
	generation string
	at         time.Time
}

func newGenerations() *generations {
	return &generations{known: map[string]bool{}, arrived: make(chan arrival, 1), answered: make(chan time.Time, 1)}
}

// saw is told of every response that names its generation.
func (g *generations) saw(generation string, dialled, at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	unheard := !g.known[generation]
	g.known[generation] = true
	if !dialled.Before(g.dialled) {
		g.current, g.dialled = generation, dialled
	}
	// A name never heard before is new on whatever connection it comes, since connections may move with the service.
	if g.waiting && generation != g.not && (unheard || dialled.After(g.since)) {
		g.waiting = false
		g.arrived <- arrival{generation, at}
	}
}

// expect returns who answers now, and a channel that gets the first other one that answers from now on.
func (g *generations) expect(now time.Time) (string, <-chan arrival) {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.arrived:
	default:
	}
	g.waiting, g.not, g.since = true, g.current, now
	return g.current, g.arrived
}

// succeeded is told of every operation that did.
func (g *generations) succeeded(sent, at time.Time) {
	after := g.sentAfter.Load()
	if after == 0 || sent.UnixNano() <= after || !g.sentAfter.CompareAndSwap(after, 0) {
		return
	}
	select {
	case g.answered <- at:
	default: // the one before was given up
	}
}

// await returns a channel that gets when the first operation succeeded that is begun from now on.
func (g *generations) await(now time.Time) <-chan time.Time {
	select {
	case <-g.answered:
	default:
	}
	g.sentAfter.Store(now.UnixNano())
	return g.answered
}

func (g *generations) now() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.current
}
