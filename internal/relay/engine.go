package relay

import (
	"net"
)

// Options configures an Engine.
type Options struct {
	// Loops is the number of event loops; 0 means the lesser of 2 and GOMAXPROCS. Ignored but on Linux.
	Loops int
}

// An Engine runs relays. Its methods are safe for concurrent use.
type Engine struct{ engine }

// New starts an engine. Close stops it.
func New(opts Options) (*Engine, error) {
	e := new(Engine)
	if err := e.start(opts); err != nil {
		return nil, err
	}
	return e, nil
}

// Close resets every relay that still runs and waits for the loops and for every OnEnd function to return.
// Relays that were exported are not touched. Close must not be called from an OnEnd function.
func (e *Engine) Close() error { return e.stop() }

// Relay moves bytes between client and upstream, each of which is a TCP or Unix stream connection.
// It takes ownership of both, also when it fails: then they are closed. Nothing may be blocked in their methods.
func (e *Engine) Relay(client, upstream net.Conn, cfg Config) (*Relay, error) {
	return e.begin([]net.Conn{client, upstream}, cfg)
}

// Echo sends back to conn what comes from it. It takes ownership of conn, also when it fails.
func (e *Engine) Echo(conn net.Conn, cfg Config) (*Relay, error) {
	return e.begin([]net.Conn{conn}, cfg)
}

// Import goes on with a relay that was exported, by this process or another, under this engine's cfg: the time it was
// idle counts towards cfg.IdleTimeout, and cfg.OnEnd learns of its end. It takes ownership of st.Files, also when it
// fails: then they are closed. A blob that another version wrote is ErrVersion, a broken one ErrMalformed.
//
// A parent whose export was refused imports it again to go on by itself; it must be sure that the other process will
// not.
func (e *Engine) Import(st State, cfg Config) (*Relay, error) {
	return e.resume(st, cfg)
}

// Len returns the number of relays that run.
func (e *Engine) Len() int { return int(e.running.Load()) }

// Relays returns the relays that run now. Any of them may have ended by the time the caller looks at it.
func (e *Engine) Relays() []*Relay { return e.list() }
