package relay

import (
	"net"
	"net/netip"
	"time"
)

// Target is a server to connect to, and how. It has an Addr or a Path.
type Target struct {
	Addr netip.AddrPort // of a TCP server
	Path string         // of a Unix stream socket; a first @ stands for the zero byte of an abstract one

	// Timeout is how long connecting may take, up to 0.1 s more; then it has failed with os.ErrDeadlineExceeded.
	// 0 leaves it to the kernel, which is patient: two minutes.
	Timeout time.Duration
	// KeepAlive is for the connection to a TCP server. Where it is not enabled the kernel does not probe.
	KeepAlive net.KeepAliveConfig
	// First is sent before the client's bytes, and counted in no Stats: a PROXY header, say. At most 32 KiB, which must
	// not be changed any more.
	First []byte

	// OnFail, if not nil, is called once, on a goroutine of its own, when there is no connection after all: refused,
	// unreachable, too late. The error is a *net.OpError. The client's descriptor is the function's then, to Connect to
	// another server or to close (see Reset), and nothing was read from it. The relay counts in Len until the function
	// has returned, so that an engine which is waited for does not look idle in between. Where OnFail is nil the client
	// is reset.
	OnFail func(client int, err error)
}

// Connect connects to a server without waiting, and then moves bytes between client and it. Until they are connected
// the client's bytes stay in the kernel, and Export waits.
//
// Client is the descriptor of a TCP or Unix stream socket that is non-blocking and close-on-exec, and unknown to Go's
// poller. Connect takes ownership of it, but leaves it with the caller where it returns an error: a *net.OpError for what
// the system said at once (no such route, no descriptor left), ErrClosed, or, elsewhere than on Linux,
// errors.ErrUnsupported. What is said later goes to OnFail.
//
// Of OnFail and cfg.OnEnd one is called, once, unless the relay is exported. A relay that is aborted while it connects
// ends with ErrAborted.
func (e *Engine) Connect(client int, to Target, cfg Config) (*Relay, error) {
	return e.connect(client, to, cfg)
}

// Connecting tells whether the relay still waits for its server, and Export would, too.
func (r *Relay) Connecting() bool { return r.connecting() }

// Reset closes fd so that a TCP peer sees a reset, and not an end of stream that it would take for a whole answer. It is
// for a client that was refused.
func Reset(fd int) { resetAndClose(fd) }
