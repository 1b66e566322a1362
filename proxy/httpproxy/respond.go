package httpproxy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// respond passes an answer on. It returns what cut it short, when the client has its head already.
func (s *serving) respond(a *answer) *failure {
	h := s.w.Header()
	copyFields(h, a.Header)
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil // else net/http guesses one
	}
	announced := len(a.Trailer)
	if announced > 0 {
		names := make([]string, 0, announced)
		for name := range a.Trailer {
			names = append(names, name)
		}
		h["Trailer"] = []string{strings.Join(names, ", ")}
		if s.r.ProtoMajor == 1 {
			delete(h, "Content-Length") // HTTP/1.1 has trailers after chunks only
		}
	}
	s.sayClose()
	s.ex.Status = a.StatusCode
	s.w.WriteHeader(a.StatusCode)

	whole, f := s.copyBody(a)
	a.finish(whole)
	if !whole {
		return f
	}
	if len(a.Trailer) > 0 {
		s.flush() // makes chunks of a short body, which net/http would give a length
		for name, values := range a.Trailer {
			if len(a.Trailer) != announced {
				name = http.TrailerPrefix + name
			}
			h[name] = values
		}
	}
	return nil
}

// copyBody copies as the bytes come: what has been read is flushed when reading on would wait.
func (s *serving) copyBody(a *answer) (whole bool, _ *failure) {
	if a.Body == http.NoBody {
		return true, nil
	}
	if to := s.bulk(a); to != nil {
		return s.copyBulk(to, a)
	}
	if a.quiet() && (a.conn != nil || a.ContentLength < 0) {
		s.flush()
	}
	buf := buffers.Get().(*buffer)
	defer buffers.Put(buf)
	for {
		n, err := a.Body.Read(buf[:])
		if n > 0 {
			written, failed := s.w.Write(buf[:n])
			s.ex.BytesOut += int64(written)
			if failed != nil {
				return false, &failure{class: ClientGone, err: failed}
			}
		}
		switch {
		case err == io.EOF:
			return true, nil
		case err != nil:
			return false, s.cutShort(err)
		}
		if n > 0 && n < len(buf) && a.quiet() && (a.ContentLength < 0 || a.conn != nil && s.ex.BytesOut < a.ContentLength) {
			s.flush()
		}
	}
}

// cutShort is for an answer that ended within its body, which may be because the client has left, or its body broke off.
func (s *serving) cutShort(err error) *failure {
	ctx := s.r.Context()
	if f := s.body.failure(ctx); f != nil {
		return f
	}
	if ctx.Err() != nil {
		return &failure{class: ClientGone, err: context.Cause(ctx)}
	}
	return &failure{class: answerFailure(err), err: fmt.Errorf("server %s: read answer: %w", s.ex.Server, err)}
}

func (s *serving) flush() {
	if f, ok := s.w.(http.Flusher); ok {
		f.Flush()
		return
	}
	_ = http.NewResponseController(s.w).Flush()
}

// sayClose ends the client's connection after an answer that came before the request's end.
func (s *serving) sayClose() {
	if s.body.unfinished() {
		s.w.Header()["Connection"] = []string{"close"}
	}
}

// copyFields copies an answer's fields but those for one connection.
func copyFields(to, from http.Header) {
	drop := connectionNames(from["Connection"])
	for name, values := range from {
		if !isHop(name) && (len(drop) == 0 || !containsFold(drop, name)) {
			to[name] = values
		}
	}
}
