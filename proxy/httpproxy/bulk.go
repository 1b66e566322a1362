package httpproxy

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"time"
)

// bulkSize is from which length on a body goes from socket to socket without coming to user space, where the system
// and both connections allow it.
const bulkSize = 64 << 10

// bulk returns what takes the rest of an answer's body by splice(2), or nil.
func (s *serving) bulk(a *answer) io.ReaderFrom {
	if a.conn == nil || a.ContentLength < bulkSize || s.r.ProtoMajor != 1 || s.r.TLS != nil {
		return nil
	}
	if _, ok := a.conn.Conn.(*net.TCPConn); !ok {
		return nil
	}
	to, _ := s.w.(io.ReaderFrom)
	return to
}

// copyBulk copies the body of an answer that has a length.
func (s *serving) copyBulk(to io.ReaderFrom, a *answer) (whole bool, _ *failure) {
	for a.conn.unread() > 0 && s.ex.BytesOut < a.ContentLength { // what came with the head
		part, err := a.conn.r.Peek(min(a.conn.unread(), int(min(a.ContentLength-s.ex.BytesOut, 1<<20))))
		if err != nil {
			return false, s.cutShort(err)
		}
		n, err := s.w.Write(part)
		s.ex.BytesOut += int64(n)
		if err != nil {
			return false, &failure{class: ClientGone, err: err}
		}
		_, _ = a.conn.r.Discard(len(part))
	}
	s.flush() // net/http gathers the first bytes otherwise
	left := a.ContentLength - s.ex.BytesOut
	n, err := to.ReadFrom(io.LimitReader(a.conn.Conn, left))
	s.ex.BytesOut += n
	switch {
	case n == left && err == nil:
		return true, nil
	case err == nil:
		err = io.ErrUnexpectedEOF
	case errors.Is(err, syscall.EPIPE):
		return false, &failure{class: ClientGone, err: err}
	case errors.Is(err, syscall.ECONNRESET):
		s.whoseReset()
	}
	return false, s.cutShort(err)
}

// whoseReset gives net/http a moment to find out that the client has gone: the error does not say who has.
func (s *serving) whoseReset() {
	ctx, cancel := context.WithTimeout(s.r.Context(), 50*time.Millisecond)
	defer cancel()
	<-ctx.Done()
}
