package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// httpLane is what the HTTP lanes share: where the server is, and what it answered when it was probed.
type httpLane struct {
	name   string
	method string
	target HTTP
	dialer dialer
	want   answer
}

// answer is what a right response looks like.
type answer struct {
	status int
	echo   bool   // the response's body is the request's
	body   []byte // nil: any
}

// httpAnswer is a response that arrived whole.
type httpAnswer struct {
	status     int
	close      bool // the server will close the connection, or has
	generation string
	body       []byte // valid until the next request
}

func (l *httpLane) Name() string { return l.name }

func (l *httpLane) secure() bool { return l.target.TLS != nil }

// Probe sends two requests, on a connection each, and holds the server to what it answered to both from then on.
func (l *httpLane) Probe(ctx context.Context) (string, error) {
	addr, err := resolve(ctx, l.target.Addr)
	if err != nil {
		return "", fmt.Errorf("%s: %w", l.name, err)
	}
	l.dialer = dialer{addr: addr, tls: l.target.TLS}
	first, err := l.probeOnce(ctx)
	if err != nil {
		return "", err
	}
	second, err := l.probeOnce(ctx)
	if err != nil {
		return "", err
	}
	if first.status != second.status {
		return "", fmt.Errorf("%s: %s %s is answered by status %d and then by %d; the bench needs a path with one steady answer",
			l.name, l.method, l.target.Path, first.status, second.status)
	}
	l.want.status = first.status
	l.want.echo = first.echoed && second.echoed
	if l.target.SameBody && !l.want.echo {
		l.want.body = first.body
	}
	return second.generation, nil
}

type probed struct {
	httpAnswer
	echoed bool
}

func (l *httpLane) probeOnce(ctx context.Context) (probed, error) {
	c := l.client(ctx, 0)
	fail := func(err error) (probed, error) {
		return probed{}, fmt.Errorf("%s: no answer from %s: %w", l.name, l.target.Addr, err)
	}
	connection, err := l.dialer.dial(ctx, time.Now().Add(probeTimeout))
	if err != nil {
		return fail(err)
	}
	defer connection.drop()
	c.compose(0)
	got, err := c.exchange(connection)
	if err != nil {
		return fail(err)
	}
	if got.status >= 500 && got.status != http.StatusNotImplemented { // a server without POST is a server too
		return fail(fmt.Errorf("%s %s is answered by status %d", l.method, l.target.Path, got.status))
	}
	got.body = bytes.Clone(got.body)
	return probed{got, l.method == http.MethodPost && bytes.Equal(got.body, c.body())}, nil
}

func (l *httpLane) client(ctx context.Context, id int) *httpClient {
	c := &httpClient{lane: l, ctx: ctx, id: id, asked: &http.Request{Method: l.method}}
	c.head = fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: baton-bench\r\n", l.method, l.target.Path, l.target.Host)
	if l.method == http.MethodPost {
		c.head = fmt.Appendf(c.head, "Content-Type: text/plain\r\nContent-Length: %d\r\n", payloadSize)
	} else {
		c.head = append(c.head, "Connection: close\r\n"...)
	}
	c.head = fmt.Appendf(c.head, "X-Request-Id: bench-%s-%d-", strings.ReplaceAll(l.name, " ", "-"), id)
	return c
}

// httpClient speaks HTTP/1.1 by hand. net/http's own client sends some requests a second time on its own, which is
// the very thing that must not happen here.
type httpClient struct {
	lane    *httpLane
	ctx     context.Context
	id      int
	head    []byte // every request's first lines, up to its number
	request []byte // the request at hand
	asked   *http.Request
	read    bytes.Buffer

	beforeSend func(*conn) // for tests: between the look at a connection at rest and the write
}

// compose writes operation seq's request. X-Request-Id lets an operator find it in the server's own logs.
func (c *httpClient) compose(seq int64) {
	c.request = append(c.request[:0], c.head...)
	c.request = strconv.AppendInt(c.request, seq, 10)
	c.request = append(c.request, "\r\n\r\n"...)
	if c.lane.method == http.MethodPost {
		c.request = payload(c.request, c.lane.name, c.id, seq)
	}
}

// body returns the body of the request that compose wrote.
func (c *httpClient) body() []byte {
	if c.lane.method != http.MethodPost {
		return nil
	}
	return c.request[len(c.request)-payloadSize:]
}

// exchange writes the composed request and reads its whole response. The error is a *lossError.
func (c *httpClient) exchange(on *conn) (httpAnswer, error) {
	if c.beforeSend != nil {
		c.beforeSend(on)
	}
	_, writeErr := on.Write(c.request)
	// A server may answer and close before it has read everything: then the write fails, and the response is here.
	if _, err := on.br.Peek(1); err != nil {
		if writeErr != nil {
			return httpAnswer{}, classify(phaseWrite, writeErr)
		}
		return httpAnswer{}, classify(phaseAwait, err)
	}
	resp, err := http.ReadResponse(on.br, c.asked)
	for err == nil && resp.StatusCode/100 == 1 && resp.StatusCode != http.StatusSwitchingProtocols {
		resp, err = http.ReadResponse(on.br, c.asked)
	}
	if err != nil {
		return httpAnswer{}, classify(phaseRead, err)
	}
	c.read.Reset()
	probing := c.lane.want.status == 0
	if probing || c.lane.want.echo || c.lane.want.body != nil {
		_, err = c.read.ReadFrom(io.LimitReader(resp.Body, maxCompared))
	}
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
	}
	if err != nil {
		return httpAnswer{}, classify(phaseRead, err)
	}
	if n := on.br.Buffered(); n > 0 {
		return httpAnswer{}, &lossError{Failure{Class: WrongBytes}, fmt.Errorf("%d bytes more than the response", n)}
	}
	return httpAnswer{
		status:     resp.StatusCode,
		close:      resp.Close || writeErr != nil,
		generation: resp.Header.Get(c.lane.target.GenerationHeader),
		body:       c.read.Bytes(),
	}, nil
}

// maxCompared is how much of a response's body is kept to be compared.
const maxCompared = 64 << 10

// judge returns nil if the response is the right one, or else a *lossError.
func (c *httpClient) judge(got httpAnswer) error {
	want := c.lane.want
	switch {
	case got.status != want.status:
		return &lossError{Failure{WrongStatus, strconv.Itoa(got.status)}, fmt.Errorf("status %d, want %d", got.status, want.status)}
	case want.echo && !bytes.Equal(got.body, c.body()):
		return &lossError{Failure{Class: WrongBytes}, fmt.Errorf("echo is %q, want %q", clip(got.body), clip(c.body()))}
	case want.body != nil && !bytes.Equal(got.body, want.body):
		return &lossError{Failure{Class: WrongBytes}, fmt.Errorf("body is %q, want %q", clip(got.body), clip(want.body))}
	}
	return nil
}

// timedOutAtRest reads what a server said on a connection at rest, and reports whether it is the 408 by which some
// announce that they close it.
func (c *httpClient) timedOutAtRest(on *conn) bool {
	resp, err := http.ReadResponse(on.br, c.asked)
	return err == nil && resp.StatusCode == http.StatusRequestTimeout
}

func clip(b []byte) []byte { return b[:min(len(b), 40)] }

var errUnasked = &lossError{Failure{Class: WrongBytes}, errors.New("bytes on a connection at rest")}
