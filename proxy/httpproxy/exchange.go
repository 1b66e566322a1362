package httpproxy

import (
	"net/http"
	"net/netip"
	"time"
)

// Class is what went wrong with a request, in a word that suits a metric's label.
type Class string

// The classes. What is not a failure has none.
const (
	ConnectRefused  Class = "connect_refused"  // the server's port is closed
	ConnectTimeout  Class = "connect_timeout"  // no connection within connect_timeout
	ConnectFailed   Class = "connect_failed"   // no connection for another reason, such as no route or no such socket
	Reset           Class = "reset"            // the connection died before the answer, or was reset within it
	Cut             Class = "cut"              // the answer ended before its end
	ResponseTimeout Class = "response_timeout" // no head of an answer within response_timeout
	Malformed       Class = "malformed"        // the answer is not HTTP, or not one to this request
	NoServer        Class = "no_server"        // every server is out
	Busy            Class = "busy"             // the upstream's max_connections is reached
	NoRoute         Class = "no_route"         // neither a route nor the listener names an upstream
	ClientGone      Class = "client_gone"      // the client left before the end
	ClientTimeout   Class = "client_timeout"   // the client took longer than read_timeout for its body
	TooLarge        Class = "too_large"        // the body is larger than max_body_bytes
	BadRequest      Class = "bad_request"      // the request cannot be passed on as it is
	Misdirected     Class = "misdirected"      // the host asks for other TLS terms than the connection has
	NotAllowed      Class = "not_allowed"      // CONNECT
)

// statusClientGone is what Observe is told of a client that left before it was answered. Nothing sends it.
const statusClientGone = 499

// Exchange is one request and what became of it.
type Exchange struct {
	Request  *http.Request // as the client sent it; read only, and its body must not be read
	Client   netip.Addr    // who asks: the peer, or whom trusted proxies name; not valid on a Unix socket
	Listener string
	Upstream string // empty where no upstream was chosen
	Server   string // the last that was tried, as configured; empty where none was
	Method   string
	Status   int   // what the client got; 499 where it left before
	BytesIn  int64 // of the request's body, or from the client through a tunnel
	BytesOut int64 // of the response's body, or to the client through a tunnel
	Start    time.Time
	Duration time.Duration // until the response's last byte was written; of a tunnel, until Options.Tunnel returned
	Class    Class         // empty where all went well
	Err      error         // the cause, where Class is not empty
	Retries  int           // how many more servers were tried after the first
}
