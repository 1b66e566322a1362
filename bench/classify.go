package bench

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
)

// phase is how far an operation had come when its error arrived.
type phase int

const (
	phaseConnect phase = iota
	phaseHandshake
	phaseWrite
	phaseAwait // the request is written, no byte of the response is here
	phaseRead  // the first byte is here
)

// lossError is an operation that failed, with what it is counted as.
type lossError struct {
	Failure
	cause error

	unsent    bool // not one byte of the request was written
	hidden    bool // see Result.Hidden
	refused   bool // see Result.Refused
	duplicate bool // see Result.Duplicate
}

// over ends a result as end does, with what the loss says of itself besides its class.
func (r *Result) over(err error) Result {
	if loss, ok := err.(*lossError); ok {
		r.Hidden, r.Refused = loss.hidden, loss.refused
		r.Duplicate = r.Duplicate || loss.duplicate
	}
	return r.end(err)
}

// errUnasked is the loss of an operation whose connection spoke before anybody had asked.
var errUnasked = wrong("bytes on a connection at rest")

// wrong is the loss of an answer that is not the right one.
func wrong(format string, args ...any) *lossError {
	return &lossError{Failure: Failure{Class: WrongBytes}, cause: fmt.Errorf(format, args...)}
}

func (e *lossError) Error() string { return e.Failure.String() + ": " + e.cause.Error() }
func (e *lossError) Unwrap() error { return e.cause }

// classify turns an error of the network into what it is counted as.
func classify(p phase, err error) *lossError {
	return &lossError{Failure: classOf(p, err), cause: err}
}

func classOf(p phase, err error) Failure {
	var errno syscall.Errno
	hasErrno := errors.As(err, &errno)
	if hasErrno {
		if own, ok := ownLimit(errno); ok {
			return Failure{own, errnoName(errno)}
		}
	}
	sign := signOf(err, errno, hasErrno)
	switch p {
	case phaseConnect:
		switch {
		case isTimeout(err):
			return Failure{ConnectTimeout, sign}
		case hasErrno && isRefused(errno):
			return Failure{ConnectRefused, sign}
		case hasErrno && isReset(errno):
			// A SYN is refused, not reset. So the connection stood, and was gone before connect(2) could say so.
			return Failure{ResetBeforeResponse, sign}
		}
		return Failure{ConnectFailed, sign}
	case phaseHandshake:
		return Failure{HandshakeFailed, sign}
	}
	switch {
	case isTimeout(err):
		return Failure{ResponseTimeout, sign}
	case p == phaseWrite:
		return Failure{WriteFailed, sign}
	case isEOF(err) && p == phaseAwait:
		return Failure{EOFBeforeResponse, sign}
	case isEOF(err):
		return Failure{EOFMidResponse, sign}
	case !hasErrno && !isAlert(err):
		return Failure{Class: WrongBytes} // the bytes came, and they are no response
	case p == phaseAwait:
		return Failure{ResetBeforeResponse, sign}
	default:
		return Failure{ResetMidResponse, sign}
	}
}

func signOf(err error, errno syscall.Errno, hasErrno bool) string {
	switch {
	case hasErrno:
		return errnoName(errno)
	case isTimeout(err):
		return "timeout"
	case isEOF(err):
		return "EOF"
	case isAlert(err):
		return "TLS alert"
	default:
		return ""
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

func isEOF(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// isAlert reports whether the peer ended TLS by an alert, which crypto/tls shows in no other way.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}
