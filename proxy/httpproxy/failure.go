package httpproxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
)

// failure is why there is no answer to pass on.
type failure struct {
	class  Class
	err    error
	unsent bool // nothing was sent: another server may be asked, whatever the request is
	silent bool // the connection died, and no byte of an answer had come
	idled  bool // and it had been idle before: servers close such connections when they like
}

// errTooLarge is what reading a body beyond the listener's limit returns.
var errTooLarge = errors.New("body is larger than max_body_bytes")

// status is what the client is told.
func (c Class) status() int {
	switch c {
	case ConnectTimeout, ResponseTimeout:
		return http.StatusGatewayTimeout
	case NoServer, Busy:
		return http.StatusServiceUnavailable
	case NoRoute:
		return http.StatusNotFound
	case ClientGone:
		return statusClientGone
	case ClientTimeout:
		return http.StatusRequestTimeout
	case TooLarge:
		return http.StatusRequestEntityTooLarge
	case BadRequest:
		return http.StatusBadRequest
	case Misdirected:
		return http.StatusMisdirectedRequest
	case NotAllowed:
		return http.StatusMethodNotAllowed
	}
	return http.StatusBadGateway
}

// clients tells whether it was the client who failed, which an operator need not hear about.
func (c Class) clients() bool {
	switch c {
	case ClientGone, ClientTimeout, TooLarge, BadRequest, Misdirected, NotAllowed, NoRoute:
		return true
	}
	return false
}

// connectFailure is for an error of Pool.Dial.
func connectFailure(ctx context.Context, err error) *failure {
	class := ConnectFailed
	switch {
	case ctx.Err() != nil:
		class = ClientGone
	case errors.Is(err, syscall.ECONNREFUSED):
		class = ConnectRefused
	case errors.Is(err, syscall.ECONNRESET):
		class = Reset
	case isTimeout(err):
		class = ConnectTimeout
	}
	return &failure{class: class, err: err, unsent: true}
}

// answerFailure is for an error while a response's head was awaited, or its body read. Whether the client was at fault
// has been looked at before.
func answerFailure(err error) Class {
	var network *net.OpError
	switch {
	case isTimeout(err):
		return ResponseTimeout
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return Cut
	case errors.As(err, &network), errors.Is(err, net.ErrClosed):
		return Reset
	}
	return h2Class(err)
}

// bodyFailure is for an error of reading the client's body. The request's context is cancelled by any of the
// connection's, also by a timeout.
func bodyFailure(ctx context.Context, err error) Class {
	var network *net.OpError
	switch {
	case errors.Is(err, errTooLarge):
		return TooLarge
	case isTimeout(err):
		return ClientTimeout
	case ctx.Err() != nil, errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.As(err, &network),
		errors.Is(err, net.ErrClosed):
		return ClientGone
	}
	return BadRequest // such as a chunk without a length
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &timeout) && timeout.Timeout()
}
