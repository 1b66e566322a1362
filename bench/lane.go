package bench

import (
	"context"
	"time"
)

// Lane is one kind of client.
type Lane interface {
	// Name is short and unique in a plan, as "http keep-alive".
	Name() string
	// Persistent reports whether each client keeps one connection. Operations then take turns over Plan.Conns clients,
	// and one that finds its client busy waits. Otherwise any free client takes the next operation.
	Persistent() bool
	// Probe asks the server once before the run whether it is there, and learns what right answers look like. It
	// returns the generation that answered, or "" if the server does not say.
	Probe(ctx context.Context) (generation string, err error)
	// Client returns client number id, to be called after Probe. When ctx ends, whatever the client waits for ends.
	Client(ctx context.Context, id int) Client
}

// Client carries out operations one after the other, in one goroutine. It never tries one twice.
type Client interface {
	// Do carries out operation number seq, which must be over at deadline. Numbers start at 1; 0 warms a connection up.
	Do(seq int64, deadline time.Time) Result
	// Close ends the client's connection, if it has one.
	Close()
}

// Result is what one operation came to.
type Result struct {
	Failure           // Class is OK if the operation succeeded
	Err     error     // nil if the operation succeeded
	Opened  int       // connections that were opened for it
	Resumed bool      // the one that was opened resumed a TLS session
	Renewed bool      // the one before was closed politely, or seen to be closed before anything was sent
	Dialled time.Time // when the connection that carried it began to be opened
	// Generation is what the server called itself in its answer, or "".
	Generation string
	// Hidden is set for a loss that a client which retries would have hidden: what http.Transport, or HTTP/2's rules,
	// would have sent again.
	Hidden bool
	// Refused is set where an HTTP/2 server said that it has not processed the stream: REFUSED_STREAM, or a GOAWAY with
	// a lower last stream. The client may send it again (RFC 9113, section 8.7), and this one does not.
	Refused bool
	// Duplicate is set where the server has shown that the request reached it more than once.
	Duplicate bool
}

func (r *Result) end(err error) Result {
	r.Class = OK
	if err != nil {
		loss, ok := err.(*lossError)
		if !ok {
			loss = classify(phaseRead, err)
		}
		r.Failure, r.Err = loss.Failure, loss
	}
	return *r
}
