package stream

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/seed-e3b9a99f/baton/internal/relay"
	"github.com/seed-e3b9a99f/baton/internal/relayset"
	"github.com/seed-e3b9a99f/baton/proxy/upstream"
)

// Class is what went wrong with a connection, in a word that suits a metric's label.
type Class string

// The classes. What is not a failure has none.
const (
	ConnectRefused Class = "connect_refused" // the server's port is closed
	ConnectTimeout Class = "connect_timeout" // no connection within connect_timeout
	ConnectFailed  Class = "connect_failed"  // no connection for another reason
	NoServer       Class = "no_server"       // every server is out
	Busy           Class = "busy"            // the upstream's max_connections is reached
	NoRoute        Class = "no_route"        // no route for the server name
	BadHeader      Class = "bad_header"      // no PROXY header where there had to be one
	BadHello       Class = "bad_hello"       // no ClientHello, or not in time
	Handshake      Class = "handshake"       // TLS with the client failed
	Reset          Class = "reset"           // one side reset the connection
	Idle           Class = "idle"            // idle_timeout
	Cut            Class = "cut"             // closed by this process: at the end of the drain
)

// Event is a connection and what became of it.
type Event struct {
	Note
	Source   netip.AddrPort // who connected, or whom a PROXY header names; not valid on a Unix socket
	Up, Down uint64         // bytes to the server, and to the client
	Duration time.Duration
	Class    Class // empty where all went well
	Err      error
}

func classOfDial(err error) Class {
	var timeout net.Error
	switch {
	case errors.Is(err, upstream.ErrNoServer):
		return NoServer
	case errors.Is(err, upstream.ErrBusy):
		return Busy
	case errors.Is(err, syscall.ECONNREFUSED):
		return ConnectRefused
	case errors.Is(err, syscall.ECONNRESET): // so soon that the connect has seen it
		return Reset
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return ConnectTimeout
	default:
		return ConnectFailed
	}
}

// ClassOf says how a relay ended.
func ClassOf(err error) Class {
	switch {
	case err == nil, errors.Is(err, relayset.ErrMoved):
		return ""
	case errors.Is(err, relay.ErrIdle):
		return Idle
	case errors.Is(err, relay.ErrAborted), errors.Is(err, relay.ErrClosed), errors.Is(err, net.ErrClosed):
		return Cut
	default:
		return Reset
	}
}
