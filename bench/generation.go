package bench

import (
	"sync"
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
}

type arrival struct {
	generation string
	at         time.Time
}

func newGenerations() *generations {
	return &generations{known: map[string]bool{}, arrived: make(chan arrival, 1)}
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

func (g *generations) now() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.current
}
