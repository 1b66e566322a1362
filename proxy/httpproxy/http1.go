package httpproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

// transport asks one server.
type transport interface {
	// roundTrip sends a request and reads the head of the answer. The caller finishes that.
	roundTrip(ctx context.Context, out *outgoing) (*answer, *failure)
	// close closes connections as they become idle.
	close()
}

// http1 asks a server that speaks HTTP/1.1. Other than http.Transport it has no goroutines of its own: the one that
// serves the client writes the request and reads the answer, which saves two switches between threads a request. It
// knows, too, what has been sent and what has come when something fails.
type http1 struct {
	server  string // as configured
	dial    func(context.Context) (net.Conn, error)
	timeout time.Duration // until the answer's head; 0 for none
	leaving func() bool   // whether to keep no connections
	idle    idleConns
}

func (t *http1) close() { t.idle.close() }

func (t *http1) roundTrip(ctx context.Context, out *outgoing) (*answer, *failure) {
	var c *conn
	if out.upgrade == "" { // such a request is not repeated
		c = t.idle.take()
	}
	for {
		if c == nil {
			nc, err := t.dial(ctx)
			if err != nil {
				return nil, connectFailure(ctx, err)
			}
			c = newConn(nc, t.timeout)
		}
		a, f := t.ask(ctx, c, out)
		if f == nil {
			return a, nil
		}
		_ = c.Close()
		if c.reused && f.silent && out.repeatable() {
			c = nil // the server closed it at that moment, as servers do with idle connections
			continue
		}
		return nil, f
	}
}

func (t *http1) ask(ctx context.Context, c *conn, out *outgoing) (*answer, *failure) {
	a := &answer{conn: c, from: t}
	a.forget = context.AfterFunc(ctx, func() { _ = c.Close() })
	c.begin(out.streams())
	writeHead(c.w, out, t.server)
	sending := c.send(out.small) // after an error there may be an answer all the same: the server gave it, and closed
	if sending == nil && out.streams() {
		a.sender = startSender(c, out)
	} else {
		c.expectAnswer()
	}
	res, err := t.readHead(c, out, a.sender)
	if err == nil {
		c.headRead()
		a.Response = res
		return a, nil
	}
	a.forget()
	_ = c.Close()
	a.stopSending()
	return nil, t.explain(ctx, a, out, errors.Join(err, sending))
}

// explain finds out who was at fault.
func (t *http1) explain(ctx context.Context, a *answer, out *outgoing, err error) *failure {
	if f := out.body.failure(ctx); f != nil {
		return f
	}
	if ctx.Err() != nil {
		return &failure{class: ClientGone, err: context.Cause(ctx)}
	}
	if a.sender != nil && a.sender.stalled.Load() {
		return &failure{class: ResponseTimeout, err: fmt.Errorf("server %s: takes nothing of the body", t.server)}
	}
	f := &failure{class: answerFailure(err), err: fmt.Errorf("server %s: read answer: %w", t.server, err)}
	if a.conn.got == 0 && f.class != ResponseTimeout {
		f.class, f.silent, f.idled = Reset, true, a.conn.reused
	} else if f.class == Malformed && a.conn.ended {
		f.class = Cut // a part of a head reads like a malformed one
	}
	return f
}

// readHead reads the head of the answer, and passes on what comes before it.
func (t *http1) readHead(c *conn, out *outgoing, s *sender) (*http.Response, error) {
	continued := false
	for {
		res, err := http.ReadResponse(c.r, out.in)
		if err != nil {
			return nil, err
		}
		switch {
		case res.ProtoMajor != 1 || res.StatusCode < 100:
			return nil, fmt.Errorf("answer begins %q %q", res.Proto, res.Status)
		case res.StatusCode == http.StatusSwitchingProtocols:
			return res, checkSwitch(out, res)
		case res.StatusCode == http.StatusContinue:
			if s != nil && !continued {
				continued = true
				close(s.proceed)
			}
		case res.StatusCode < 200:
			out.inform(res.StatusCode, res.Header)
		default:
			return res, nil
		}
	}
}

// inform passes a 1xx answer on.
func (out *outgoing) inform(code int, fields http.Header) {
	if !out.in.ProtoAtLeast(1, 1) || code == http.StatusSwitchingProtocols { // which HTTP/2 does not have
		return
	}
	h := out.w.Header()
	kept := h.Clone() // such as what the server says of its own
	copyFields(h, fields)
	out.w.WriteHeader(code)
	clear(h)
	for name, values := range kept {
		h[name] = values
	}
}

func checkSwitch(out *outgoing, res *http.Response) error {
	to := res.Header.Get("Upgrade")
	if out.upgrade == "" {
		return fmt.Errorf("answer changes to protocol %q, and nobody asked for it", to)
	}
	for p := range strings.SplitSeq(out.upgrade, ",") {
		if strings.EqualFold(textproto.TrimString(p), to) {
			return nil
		}
	}
	return fmt.Errorf("answer changes to protocol %q, and %q was asked for", to, out.upgrade)
}

// answer is a response whose body has not been read.
type answer struct {
	*http.Response
	from   *http1 // nil over HTTP/2
	conn   *conn  // likewise
	forget func() bool
	sender *sender // nil where no body is streamed
	after  func()  // nil over HTTP/1.1
}

// quiet tells whether reading more of the body would wait for the server, as far as that can be told.
func (a *answer) quiet() bool { return a.conn == nil || a.conn.unread() == 0 }

// finish gives the connection back, or closes it. Whole tells that the body has been read to its end.
func (a *answer) finish(whole bool) {
	if a.conn == nil {
		_ = a.Body.Close()
		a.after()
		return
	}
	c := a.conn
	keep := whole && !a.Close && (a.sender == nil || a.sender.sent()) && c.unread() == 0 && !a.from.leaving()
	if keep = a.forget() && keep; keep { // if not, it is being closed
		a.from.idle.put(c, keepFor(a.Header))
		return
	}
	_ = c.Close()
	a.stopSending()
}

func (a *answer) stopSending() {
	if a.sender != nil {
		close(a.sender.abandon)
	}
}

// keepFor is how long the connection may be idle. A server that says when it will close it gets no request then.
func keepFor(fields http.Header) time.Duration {
	for _, v := range fields["Keep-Alive"] {
		for p := range strings.SplitSeq(v, ",") {
			name, value, _ := strings.Cut(textproto.TrimString(p), "=")
			seconds, err := strconv.Atoi(value)
			if err == nil && seconds >= 0 && seconds < int(idleFor/time.Second) && strings.EqualFold(name, "timeout") {
				return time.Duration(seconds)*time.Second - time.Second/2
			}
		}
	}
	return idleFor
}
