package bench

import "net/http"

// What a retrying client would have hidden is said in the words of one that many programs use, Go's http.Transport
// (1.26). It sends a request again, and its caller sees no error, if all of these hold (persistConn.shouldRetryRequest
// and mapRoundTripError in net/http/transport.go):
//
//   - the connection had carried an answer before: on a fresh one nobody should hang up;
//   - no byte of the response had come;
//   - nothing at all of the request had been written; or else reading ended by EOF or an error of the network, and the
//     request is replayable.
//
// A timeout, a TLS handshake that fails and a connection that is refused reach the caller always. So does a write that
// failed half-way.
//
// For HTTP/2 it is canRetryError and setGoAway (x/net/http2): REFUSED_STREAM, PROTOCOL_ERROR by RST_STREAM, and streams
// above the last one that a GOAWAY names, save the connection's first if the GOAWAY tells of an error. A stream whose
// connection ends without such a word is not sent again, whatever its method.

// sentAgain reports whether http.Transport would have hidden a loss on an HTTP/1.1 connection.
func sentAgain(loss *lossError, reused, replayable bool) bool {
	if !reused {
		return false
	}
	switch loss.Class {
	case WriteFailed:
		return loss.unsent
	case EOFBeforeResponse, ResetBeforeResponse:
		return replayable
	default:
		return false
	}
}

// replayable reports whether http.Transport takes a request for one that does no harm if it comes twice
// (Request.isReplayable in net/http/request.go). The bench's bodies could all be sent again.
func replayable(method string, header http.Header) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return header.Get("Idempotency-Key") != "" || header.Get("X-Idempotency-Key") != ""
}
