package httpproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2"
)

// h2c asks a server that speaks HTTP/2 without TLS, over one connection.
type h2c struct {
	server string // as configured
	t      *http.Transport
	leave  func() bool // whether to keep no connections
}

// dialError is an error of dialling, among those that http.Transport returns.
type dialError struct{ error }

func (e dialError) Unwrap() error { return e.error }

func newH2C(server string, dial func(context.Context) (net.Conn, error), timeout time.Duration, leave func() bool) *h2c {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &h2c{server: server, leave: leave, t: &http.Transport{
		Protocols: protocols,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, err := dial(ctx)
			if err != nil {
				return nil, dialError{err}
			}
			return c, nil
		},
		DisableCompression:     true,
		ResponseHeaderTimeout:  timeout,
		ExpectContinueTimeout:  continueAfter,
		MaxResponseHeaderBytes: maxAnswerHead,
		IdleConnTimeout:        idleFor,
	}}
}

func (t *h2c) close() { t.t.CloseIdleConnections() }

func (t *h2c) roundTrip(ctx context.Context, out *outgoing) (*answer, *failure) {
	var late sync.Mutex // the transport may be told of a 1xx when it has given up
	over := false
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		Got1xxResponse: func(code int, fields textproto.MIMEHeader) error {
			late.Lock()
			defer late.Unlock()
			if !over && code != http.StatusContinue {
				out.inform(code, http.Header(fields))
			}
			return nil
		},
	})
	res, err := t.t.RoundTrip(t.request(ctx, out))
	late.Lock()
	over = true
	late.Unlock()
	if err != nil {
		return nil, t.explain(ctx, out, err)
	}
	return &answer{Response: res, after: t.after}, nil
}

// after is called when an answer has ended. A stream may take a moment longer to go; then idleFor bounds it.
func (t *h2c) after() {
	if t.leave() {
		t.close()
	}
}

func (t *h2c) request(ctx context.Context, out *outgoing) *http.Request {
	host := out.host
	if host == "" {
		host = "localhost" // a name that every server takes, where the client gave none
	}
	in := out.in
	r := (&http.Request{
		Method: out.method,
		URL: &url.URL{
			Scheme: "http", Host: "upstream", // one transport has one server
			Path: in.URL.Path, RawPath: in.URL.RawPath, RawQuery: in.URL.RawQuery, ForceQuery: in.URL.ForceQuery,
		},
		Proto: "HTTP/2.0", ProtoMajor: 2,
		Host:          host,
		Header:        make(http.Header, len(in.Header)+4),
		ContentLength: out.length(),
		Close:         t.leave(), // the connection ends with its last stream
	}).WithContext(ctx)
	out.each(func(name, value string) { r.Header[name] = append(r.Header[name], value) })
	if _, ok := r.Header["User-Agent"]; !ok {
		r.Header["User-Agent"] = []string{""} // else the transport names itself
	}
	switch {
	case out.hasSmall:
		r.Body = http.NoBody
		if len(out.small) > 0 {
			r.Body = io.NopCloser(bytes.NewReader(out.small))
		}
	case out.body != nil:
		r.Body = out.body
		if len(out.trailers) > 0 {
			r.Trailer = make(http.Header, len(out.trailers))
			for _, name := range out.trailers {
				r.Trailer[name] = nil
			}
			r.Body = &trailing{out.body, out, r.Trailer}
		}
	}
	return r
}

func (t *h2c) explain(ctx context.Context, out *outgoing, err error) *failure {
	if f := out.body.failure(ctx); f != nil {
		return f
	}
	var dial dialError
	switch {
	case ctx.Err() != nil:
		return &failure{class: ClientGone, err: context.Cause(ctx)}
	case errors.As(err, &dial):
		return connectFailure(ctx, dial.error)
	}
	class := answerFailure(err)
	if class == Cut { // nothing of an answer has come
		class = Reset
	}
	var stream http2.StreamError // that is not the connection's death
	return &failure{
		class: class, err: fmt.Errorf("server %s: %w", t.server, err), silent: class == Reset && !errors.As(err, &stream),
	}
}

// h2Class is for an error that HTTP/2 alone has.
func h2Class(err error) Class {
	var stream http2.StreamError
	if errors.As(err, &stream) {
		if stream.Cause != nil && stream.Cause.Error() == "received from peer" {
			return Reset
		}
		return Malformed
	}
	text := err.Error() // these have no type that is exported
	for _, died := range []string{"GOAWAY", "connection lost", "client conn"} {
		if strings.Contains(text, died) {
			return Reset
		}
	}
	return Malformed
}

// trailing is a body after which the client's trailers are known.
type trailing struct {
	*body
	out      *outgoing
	trailers http.Header
}

func (b *trailing) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	if err != nil && b.ended.Load() {
		for _, name := range b.out.trailers {
			for _, v := range b.out.in.Trailer[name] {
				if httpguts.ValidHeaderFieldValue(v) {
					b.trailers[name] = append(b.trailers[name], v)
				}
			}
		}
	}
	return n, err
}
