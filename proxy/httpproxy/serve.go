package httpproxy

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/seed-e3b9a99f/baton/proxy/upstream"
)

// serving is one request on its way.
type serving struct {
	h        *Handler
	w        http.ResponseWriter
	r        *http.Request
	out      *outgoing
	body     *body   // nil where there is none
	small    *buffer // that goes back to the pool; nil where there is none
	ex       Exchange
	aborted  bool // the client must see a broken answer
	hijacked bool
}

func (s *serving) serve() {
	s.ex = Exchange{Request: s.r, Listener: s.h.opts.Listener.Name, Method: s.r.Method, Start: time.Now()}
	if f := s.passOn(); f != nil {
		s.fail(f)
	}
	if s.body != nil {
		s.body.stop()
		s.ex.BytesIn = s.body.count.Load()
	}
	if s.small != nil {
		buffers.Put(s.small)
	}
	if s.h.opts.Observe != nil {
		s.ex.Duration = time.Since(s.ex.Start)
		s.h.opts.Observe(s.ex)
	}
}

// passOn finds an upstream and asks its servers, one after the other where that is allowed.
func (s *serving) passOn() *failure {
	origins := s.h.forwarding.of(s.r)
	s.ex.Client = origins.client
	switch {
	case s.r.Method == http.MethodConnect:
		return &failure{class: NotAllowed, err: errors.New("CONNECT: this is no forward proxy")}
	case s.h.terms.misdirected(s.r):
		return &failure{class: Misdirected, err: errors.New("TLS name " + s.r.TLS.ServerName + " has other terms than the host")}
	}
	out, err := newOutgoing(s.w, s.r, origins)
	if err != nil {
		return &failure{class: BadRequest, err: err}
	}
	s.out = out
	name := s.h.router.find(s.r.Host, s.r.URL.Path)
	if name == "" {
		return &failure{class: NoRoute, err: errors.New("no route, and the listener has no upstream: give it one")}
	}
	s.ex.Upstream = name
	b := s.h.backends[name]
	if b == nil {
		return &failure{class: NoServer, err: errors.New("no such upstream is known")}
	}
	if s.r.ContentLength != 0 {
		if f := s.takeBody(b); f != nil {
			return f
		}
	}
	return s.tryServers(b)
}

// takeBody prepares the client's body, and reads a small one.
func (s *serving) takeBody(b *backend) *failure {
	limit := s.h.opts.Listener.HTTP.MaxBodyBytes
	s.body = newBody(s.w, s.r, limit)
	s.out.body = s.body
	n := s.r.ContentLength
	switch {
	case limit > 0 && n > limit:
		return &failure{class: TooLarge, err: errTooLarge}
	case n < 0 || n > int64(smallBody) || s.out.expect || len(s.out.trailers) > 0:
		if s.body.http1 {
			_ = s.body.rc.EnableFullDuplex() // net/http wants to know that both go on at once
		}
		return nil
	}
	if b.Config.Protocol == "h2c" { // whose transport may still read it after the answer
		s.out.small = make([]byte, n)
	} else {
		s.small = buffers.Get().(*buffer)
		s.out.small = s.small[:n]
	}
	s.out.hasSmall = true
	if _, err := io.ReadFull(s.body, s.out.small); err != nil {
		return &failure{class: bodyFailure(s.r.Context(), err), err: err}
	}
	if !s.body.ended.Load() { // net/http says so with the last byte or after it
		var one [1]byte
		_, _ = s.body.Read(one[:])
	}
	return nil
}

func (s *serving) tryServers(b *backend) *failure {
	var tried []*upstream.Server
	var last *failure
	for {
		lease, err := b.Pool.Pick(s.ex.Client, tried)
		if err != nil {
			if last != nil {
				return last // says more than that no other server is left
			}
			class := NoServer
			if errors.Is(err, upstream.ErrBusy) {
				class = Busy
			}
			return &failure{class: class, err: err}
		}
		if last != nil {
			s.ex.Retries++
			s.log(slog.LevelInfo, "asking another server", last)
		}
		s.ex.Server = lease.Server().Address()
		f, answered := s.try(b, lease)
		if f == nil || answered {
			return f
		}
		if s.ex.Retries >= b.Config.Retries || !f.unsent && !(f.silent && s.out.repeatable()) || f.class == ClientGone {
			return f
		}
		tried, last = append(tried, lease.Server()), f
	}
}

// try asks one server. Answered tells that the client has the head of an answer.
func (s *serving) try(b *backend, lease *upstream.Lease) (f *failure, answered bool) {
	a, f := s.h.transport(b, lease.Server()).roundTrip(s.r.Context(), s.out)
	if f != nil {
		if (f.unsent || f.silent && !f.idled || f.class == Malformed) && f.class != ClientGone {
			lease.Failed(f.err)
		}
		lease.Release()
		return f, false
	}
	lease.Succeeded()
	if a.StatusCode == http.StatusSwitchingProtocols {
		f = s.change(a, lease.Release)
		return f, true
	}
	defer lease.Release()
	return s.respond(a), true
}

// fail answers with an error, or breaks an answer that has begun.
func (s *serving) fail(f *failure) {
	s.ex.Class, s.ex.Err = f.class, f.err
	level := slog.LevelWarn
	if f.class.clients() {
		level = slog.LevelDebug
	}
	switch {
	case s.ex.Status != 0: // the client has it
		if !s.hijacked {
			s.flush() // as much as there is
			s.aborted = true
		}
	case f.class == ClientGone:
		s.ex.Status = statusClientGone
		s.aborted = true // nobody reads an answer
	default:
		s.ex.Status = f.class.status()
		s.sayClose()
		writePage(s.w, s.r, f.class)
	}
	s.log(level, "request failed", f)
}

// log says what happened without the query, in which secrets may be.
func (s *serving) log(level slog.Level, text string, f *failure) {
	ctx := s.r.Context()
	if !s.h.log.Enabled(ctx, level) {
		return
	}
	s.h.log.LogAttrs(ctx, level, text,
		slog.String("listener", s.ex.Listener), slog.String("upstream", s.ex.Upstream),
		slog.String("server", s.ex.Server), slog.String("class", string(f.class)), slog.Int("status", s.ex.Status),
		slog.String("method", s.r.Method), slog.String("host", s.r.Host), slog.String("path", s.r.URL.Path),
		slog.String("client", s.ex.Client.String()), slog.Any("err", f.err))
}
