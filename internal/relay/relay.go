package relay

import (
	"errors"
	"time"
)

var (
	// ErrClosed is the error of an engine that has been closed.
	ErrClosed = errors.New("relay: engine closed")
	// ErrEnded is returned by Export when the relay has ended or has been exported before.
	ErrEnded = errors.New("relay: already ended")
	// ErrIdle is the Result.Err of a relay that its idle timeout ended.
	ErrIdle = errors.New("relay: idle timeout")
	// ErrAborted is the Result.Err of a relay that Abort or Engine.Close ended.
	ErrAborted = errors.New("relay: aborted")
)

// Config is what a relay takes from the process that runs it; it does not move with the relay.
type Config struct {
	// IdleTimeout ends a relay through which no byte has moved either way for that long, give or take 0.1 s.
	// 0 means never.
	IdleTimeout time.Duration

	// OnEnd, if not nil, is called once, within some milliseconds after the relay has ended and its sockets are closed.
	// It may use the engine. The goroutine is shared with relays that ended at the same time: one that blocks holds up
	// theirs. It is not called for a relay that was exported.
	OnEnd func(Result)
}

// Stats are a relay's counters. They move with it: an imported relay counts on.
type Stats struct {
	Up    uint64    // bytes written to the upstream; for an echo, bytes sent back
	Down  uint64    // bytes written to the client; for an echo, zero
	Since time.Time // when the relay began, by the clock of the process it began in
}

// Result says how a relay ended.
type Result struct {
	Stats
	// Err is nil if both sides had ended their streams and everything was delivered. Otherwise ErrIdle, ErrAborted,
	// or a *SideError.
	Err error
}

// SideError is what the operating system said of one side.
type SideError struct {
	Side string // "client" or "upstream"
	Err  error
}

func (e *SideError) Error() string { return "relay: " + e.Side + ": " + e.Err.Error() }

// Unwrap returns what the operating system said.
func (e *SideError) Unwrap() error { return e.Err }

// A Relay is one running relay. Its methods are safe for concurrent use.
type Relay struct{ session }

// Export takes the relay out of its engine: once it has returned without an error, nothing in this process reads or
// writes the sockets, and everything that was read is either written or in the State. The caller owns st.Files and
// must close them once they are sent, or give the State to Import.
//
// It returns ErrEnded if there is nothing to move any more, ErrClosed if the engine has been closed, and an error that
// is errors.ErrUnsupported where relays cannot move.
func (r *Relay) Export() (State, error) { return r.export() }

// Abort ends the relay and resets both sides. It does nothing to a relay that has ended or been exported.
func (r *Relay) Abort() { r.abort() }

// Stats returns the counters as they are now, or were at the end.
func (r *Relay) Stats() Stats { return r.stats() }
