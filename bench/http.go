package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// httpLane is what the HTTP lanes share: where the server is, and what it answered when it was probed.
type httpLane struct {
	name   string
	method string
	target HTTP
	once   bool // each connection carries one request, and says so
	dialer dialer
	want   answer
	nonce  uint32 // sets this run's request ids apart from those of others
}

// newHTTPLane names a lane by the target's scheme and what kind of client it is.
func newHTTPLane(kind, method string, target HTTP) *httpLane {
	target = target.withDefaults()
	if target.Method != "" {
		method = target.Method
	}
	return &httpLane{name: target.scheme() + " " + kind, method: method, target: target, nonce: rand.Uint32()}
}

// answer is what a right response looks like.
type answer struct {
	status int    // 0: not yet known
	echo   bool   // the response's body is the request's
	body   []byte // nil: any
	ids    bool   // the response names the request that it answers
}

// httpAnswer is a response that arrived whole.
type httpAnswer struct {
	status     int
	close      bool // the server will close the connection, or has
	generation string
	id         string // of the request that it answers, if the server says so
	seen       int    // how often the server has seen that id, if it counts
	body       []byte // valid until the next request
}

func (l *httpLane) Name() string { return l.name }

func (l *httpLane) secure() bool { return l.target.TLS != nil }

// client returns client number id. Probes have numbers below 0.
func (l *httpLane) client(ctx context.Context, id int) *httpClient {
	return &httpClient{
		lane:   l,
		dialer: l.dialer,
		ctx:    ctx,
		id:     id,
		asked:  &http.Request{Method: l.method},
		head:   l.head(l.method, l.target.Path),
		prefix: fmt.Appendf(nil, "bench-%08x-%s-%d-", l.nonce, strings.ReplaceAll(l.name, " ", "-"), id),
	}
}

// resumingClient is client with a TLS session of its own to resume.
func (l *httpLane) resumingClient(ctx context.Context, id int) *httpClient {
	c := l.client(ctx, id)
	c.dialer = c.dialer.resuming()
	return c
}

// Tap implements Tapped.
func (c *httpClient) Tap(look func(syscall.RawConn)) { c.dialer.tap = look }

// head returns the first lines of every request, without its framing and id.
func (l *httpLane) head(method, path string) []byte {
	b := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, l.target.Host)
	for _, line := range l.fields() {
		b = fmt.Appendf(b, "%s: %s\r\n", line[0], line[1])
	}
	if l.once {
		b = append(b, "Connection: close\r\n"...)
	}
	return b
}

// fields returns the header lines that every request has, in a fixed order.
func (l *httpLane) fields() (lines [][2]string) {
	header := l.target.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	if header.Get("User-Agent") == "" {
		header.Set("User-Agent", "baton-bench")
	}
	if l.body() != bodyNone && header.Get("Content-Type") == "" {
		header.Set("Content-Type", "text/plain")
	}
	for _, name := range slices.Sorted(maps.Keys(header)) {
		for _, value := range header[name] {
			lines = append(lines, [2]string{name, value})
		}
	}
	return lines
}

type bodyKind int

const (
	bodyNone  bodyKind = iota
	bodyLine           // a payload
	bodyGiven          // the target's
)

func (l *httpLane) body() bodyKind {
	switch {
	case l.target.Body != nil:
		return bodyGiven
	case l.method == http.MethodPost || l.method == http.MethodPut || l.method == http.MethodPatch:
		return bodyLine
	default:
		return bodyNone
	}
}

const (
	// idHeader carries an id that no other request has. A server that sends it back shows which request it answers.
	idHeader = "Baton-Request-Id"
	// seenHeader is for servers that count how often an id has reached them.
	seenHeader = "Baton-Request-Seen"
)

// httpClient speaks HTTP/1.1 by hand. net/http's own client sends some requests a second time on its own, which is
// the very thing that must not happen here.
type httpClient struct {
	lane    *httpLane
	dialer  dialer
	ctx     context.Context
	id      int
	head    []byte // every request's first lines
	prefix  []byte // of every request's id
	ident   []byte // the id of the request at hand
	before  []byte // the id of the one before
	content []byte // the body of the request at hand
	request []byte // all of the request at hand
	asked   *http.Request
	read    bytes.Buffer

	beforeSend func(*conn) // for tests: between the look at a connection at rest and the write
}

// prepare makes up operation seq's id and body.
func (c *httpClient) prepare(seq int64) {
	c.before, c.ident = c.ident, append(c.before[:0], c.prefix...)
	c.ident = strconv.AppendInt(c.ident, seq, 10)
	switch c.lane.body() {
	case bodyLine:
		c.content = payload(c.content[:0], c.lane.name, c.id, seq)
	case bodyGiven:
		c.content = c.lane.target.Body
	}
}

// compose writes operation seq's request.
func (c *httpClient) compose(seq int64) {
	c.prepare(seq)
	c.request = append(c.request[:0], c.head...)
	if c.lane.body() != bodyNone {
		c.request = append(c.request, "Content-Length: "...)
		c.request = strconv.AppendInt(c.request, int64(len(c.content)), 10)
		c.request = append(c.request, "\r\n"...)
	}
	c.request = c.appendID(c.request)
	c.request = append(c.request, "\r\n"...)
	c.request = append(c.request, c.content...)
}

// appendID names the request. X-Request-Id lets an operator find it in the logs of servers that know only that.
func (c *httpClient) appendID(b []byte) []byte {
	for _, name := range []string{idHeader, "X-Request-Id"} {
		b = append(b, name...)
		b = append(b, ": "...)
		b = append(b, c.ident...)
		b = append(b, "\r\n"...)
	}
	return b
}

// exchange writes the composed request and reads its whole response. The error is a *lossError.
func (c *httpClient) exchange(on *conn) (httpAnswer, error) {
	if c.beforeSend != nil {
		c.beforeSend(on)
	}
	n, err := on.Write(c.request)
	got, err := c.receive(on, n, err)
	if err != nil {
		return got, err
	}
	return got, c.nothingMore(on)
}

// receive reads the response to the request at hand. Of that, writing had brought written bytes out, and ended in
// writeErr. The error is a *lossError.
func (c *httpClient) receive(on *conn, written int, writeErr error) (httpAnswer, error) {
	// A server may answer and close before it has read everything: then the write fails, and the response is here.
	if _, err := on.br.Peek(1); err != nil {
		loss := classify(phaseAwait, err)
		if writeErr != nil {
			loss = classify(phaseWrite, writeErr)
			loss.unsent = written == 0
		}
		loss.hidden = sentAgain(loss, on.served, replayable(c.lane.method, c.lane.target.Header))
		return httpAnswer{}, loss
	}
	resp, err := http.ReadResponse(on.br, c.asked)
	for err == nil && resp.StatusCode/100 == 1 && resp.StatusCode != http.StatusSwitchingProtocols {
		resp, err = http.ReadResponse(on.br, c.asked)
	}
	if err != nil {
		return httpAnswer{}, classify(phaseRead, err)
	}
	c.read.Reset()
	if c.wantsBody() {
		_, err = c.read.ReadFrom(io.LimitReader(resp.Body, maxCompared))
	}
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
	}
	if err != nil {
		return httpAnswer{}, classify(phaseRead, err)
	}
	on.served = true
	got := c.answered(resp.StatusCode, resp.Header.Get)
	got.close = resp.Close || writeErr != nil
	return got, nil
}

// wantsBody reports whether the response's body is to be compared.
func (c *httpClient) wantsBody() bool {
	want := c.lane.want
	return want.status == 0 || want.echo || want.body != nil
}

// answered is the answer whose body is in c.read.
func (c *httpClient) answered(status int, header func(string) string) httpAnswer {
	got := httpAnswer{status: status, generation: header(c.lane.target.GenerationHeader), body: c.read.Bytes()}
	got.id = header(idHeader)
	got.seen, _ = strconv.Atoi(header(seenHeader))
	return got
}

// nothingMore returns a *lossError if more than the response has come. If that shows the request's id or its line
// again, it was answered twice.
func (c *httpClient) nothingMore(on *conn) error {
	n := on.br.Buffered()
	if n == 0 {
		return nil
	}
	loss := wrong("%d bytes more than the response", n)
	loss.duplicate = c.mentioned(on)
	return loss
}

// mentioned reports whether what lies in the connection's buffer speaks of the request at hand.
func (c *httpClient) mentioned(on *conn) bool {
	extra, _ := on.br.Peek(on.br.Buffered())
	if c.lane.body() == bodyLine && bytes.Contains(extra, c.content) {
		return true
	}
	_, after, found := bytes.Cut(extra, c.ident)
	return found && len(c.ident) > 0 && (len(after) == 0 || after[0] < '0' || after[0] > '9')
}
