package bench

import "strings"

// Class says how an operation ended, as its client saw it. The strings are part of the JSON schema.
type Class string

// OK is the class of an operation whose whole answer arrived and was right.
const OK Class = "ok"

// What a server, or the network before it, did to a request. Each is a loss.
const (
	// ConnectRefused: nobody listened.
	ConnectRefused Class = "connect-refused"
	// ConnectTimeout: the connection was not established in time, as when the accept queue is full.
	ConnectTimeout Class = "connect-timeout"
	// ConnectFailed: the connection failed in any other way.
	ConnectFailed Class = "connect-failed"
	// HandshakeFailed: the TCP connection stood and TLS did not, for whatever reason, a timeout included.
	HandshakeFailed Class = "handshake-failed"
	// WriteFailed: the connection was gone when the request was written, and no response lay waiting either.
	WriteFailed Class = "write-failed"
	// ResetBeforeResponse and EOFBeforeResponse: the request was written, and the connection ended without one byte.
	ResetBeforeResponse Class = "reset-before-response"
	EOFBeforeResponse   Class = "eof-before-response"
	// ResetMidResponse and EOFMidResponse: the response began and did not end.
	ResetMidResponse Class = "reset-mid-response"
	EOFMidResponse   Class = "eof-mid-response"
	// ResponseTimeout: the connection stood, and the whole response was not there in time.
	ResponseTimeout Class = "response-timeout"
	// WrongBytes: a malformed response, an echo that differs from what was sent, or bytes that nobody asked for.
	WrongBytes Class = "wrong-bytes"
	// WrongStatus: a whole response with another status than the server gave when it was probed.
	WrongStatus Class = "wrong-status"
	// ConnectionCut: a connection whose protocol has no polite close was ended while it was at rest.
	ConnectionCut Class = "connection-cut"
	// WebSocketClosed: the server ended a WebSocket by a close frame. Its protocol allows that, and the client has lost
	// its session all the same. The errno is the close code, as "1001".
	WebSocketClosed Class = "websocket-closed"
	// StreamRefused: an HTTP/2 server said that it has not processed the stream. The errno is "REFUSED_STREAM", or
	// "GOAWAY" where the connection's last stream came before this one.
	StreamRefused Class = "stream-refused"
	// StreamReset: an HTTP/2 server ended the stream by RST_STREAM for any other reason, which is the errno.
	StreamReset Class = "stream-reset"
	// GoAwayCut: an HTTP/2 server announced by GOAWAY that it would finish the stream, and ended the connection first.
	GoAwayCut Class = "goaway-cut"
)

// What the client's own machine could not do. None of it is the server's loss.
const (
	// ClientFiles: no file descriptor left.
	ClientFiles Class = "client-out-of-files"
	// ClientPorts: no local port left.
	ClientPorts Class = "client-out-of-ports"
	// ClientMemory: no socket buffer or memory left.
	ClientMemory Class = "client-out-of-memory"
	// ClientBacklog: never sent, since every connection of the lane was still busy with an earlier operation.
	ClientBacklog Class = "client-backlog"
)

// ClientsOwn reports whether the client's own machine, not the server, kept the operation from succeeding.
func (c Class) ClientsOwn() bool {
	return strings.HasPrefix(string(c), "client-")
}

// Lost reports whether an operation of this class is a request that the server lost.
func (c Class) Lost() bool {
	return c != OK && !c.ClientsOwn()
}

// ConnectionEnded returns the classes of a connection that stood and was then ended by the server, whatever was on its
// way at that moment.
func ConnectionEnded() []Class {
	return []Class{
		ConnectionCut, WriteFailed, ResetBeforeResponse, EOFBeforeResponse, ResetMidResponse, EOFMidResponse,
		WebSocketClosed, GoAwayCut,
	}
}

func (c Class) words() string {
	return strings.ReplaceAll(string(c), "-", " ")
}

// Failure is why an operation did not succeed: its class, and the errno or what stands for one: "EOF", "timeout",
// "TLS alert", the wrong status, a WebSocket's close code, or HTTP/2's name of an error.
type Failure struct {
	Class Class  `json:"class"`
	Errno string `json:"errno,omitempty"`
}

func (f Failure) String() string {
	if f.Errno == "" {
		return f.Class.words()
	}
	return f.Class.words() + " (" + f.Errno + ")"
}
