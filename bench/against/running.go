package against

import (
	"errors"
	"time"

	"github.com/seed-e3b9a99f/baton/bench"
)

// Running is a peer that serves.
type Running struct {
	Peer
	HTTP, HTTPS, TCP string // host:port; "" for what it does not serve

	// PIDFile names the process in charge. It is "" where that process keeps its pid across upgrades.
	PIDFile string
	// GenerationHeader is the response header that changes with the generation, or "".
	GenerationHeader string
	// Trigger upgrades the peer once. Where neither the pidfile nor the header tells when the new generation serves, it
	// returns no earlier than that.
	Trigger bench.Trigger
	// Log is the file that gets what its processes write.
	Log string

	keeper *keeper
}

// Stop ends all of the peer's processes, and the upstream. It is an error if some would not go by SIGTERM.
func (r *Running) Stop() error { return r.keeper.stop() }

// Processes returns how many processes the peer has now, without the upstream.
func (r *Running) Processes() int { return r.keeper.processes() }

// Lanes returns a lane for each kind of client that the peer serves: new connections, and POSTs on connections kept
// alive, over HTTP and HTTPS, and a long and a new TCP echo.
func (r *Running) Lanes() (lanes []bench.Lane, err error) {
	for _, at := range []struct{ scheme, address string }{{"http", r.HTTP}, {"https", r.HTTPS}} {
		if at.address == "" {
			continue
		}
		target, err := bench.ParseHTTP(at.scheme, at.address)
		if err != nil {
			return nil, err
		}
		target.SameBody = true
		target.GenerationHeader = r.GenerationHeader
		lanes = append(lanes, bench.NewConnections(target), bench.KeepAlive(target))
	}
	if r.TCP != "" {
		lanes = append(lanes, bench.LongTCP(r.TCP), bench.NewTCP(r.TCP))
	}
	return lanes, nil
}

// Upgrades returns a plan's upgrades of this peer.
func (r *Running) Upgrades(count int, interval time.Duration) *bench.Upgrades {
	return &bench.Upgrades{Count: count, Interval: interval, Trigger: r.Trigger, PIDFile: r.PIDFile}
}

// ErrNotSupported is returned by Start where processes cannot be kept as they are on Linux.
var ErrNotSupported = errors.New("the comparison needs Linux")
