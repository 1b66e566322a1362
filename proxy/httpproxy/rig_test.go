package httpproxy

import (
	"bufio"
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/proxy/config"
	"github.com/seed-e3b9a99f/baton/proxy/upstream"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// net/http leaves a connection half a second after a body that was not read to its end.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// patience is how long a test waits for what must come.
const patience = 5 * time.Second

// rig is a handler behind a real server, in front of real sockets.
type rig struct {
	t         *testing.T
	addr      string
	handler   *Handler
	pool      *upstream.Pool
	exchanges chan Exchange
	log       lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newRig(t *testing.T, change func(*config.Listener, *config.Upstream, *Options), servers ...string) *rig {
	t.Helper()
	r := &rig{t: t, exchanges: make(chan Exchange, 100)}
	l := config.Listener{
		Name: "web", Upstream: "app", IdleTimeout: time.Minute,
		HTTP: config.HTTPOptions{ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 64 << 10, H2C: true},
	}
	up := config.Upstream{
		Servers: servers, Balance: config.RoundRobin, ConnectTimeout: 2 * time.Second,
		ResponseTimeout: 10 * time.Second, MaxIdle: 8, Retries: 1, Protocol: "http1",
	}
	opts := Options{
		Logger:  slog.New(slog.NewTextHandler(&r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Observe: func(e Exchange) { r.exchanges <- e },
	}
	if change != nil {
		change(&l, &up, &opts)
	}
	pool, err := upstream.New("app", up, upstream.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	opts.Listener = l
	opts.Upstreams = map[string]Upstream{"app": {Pool: pool, Config: up}}
	r.pool, r.handler = pool, New(opts)
	srv := Server(l, r.handler, opts.Logger)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = ln.Addr().String()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = srv.Serve(ln)
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-ended
		r.handler.Close()
		pool.Close()
	})
	return r
}

// exchange waits for what Observe is told next.
func (r *rig) exchange() Exchange {
	r.t.Helper()
	return receive(r.t, r.exchanges, "an exchange")
}

// receive waits for something that must come.
func receive[T any](t *testing.T, from <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
	}
	return v
}

// client is a connection to the proxy that never retries.
type client struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func (r *rig) dial() *client {
	r.t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(2 * patience))
	return &client{c, r.t, bufio.NewReader(c)}
}

func (c *client) send(text string) *client {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatalf("send: %v", err)
	}
	return c
}

func (c *client) head(method string) *http.Response {
	c.t.Helper()
	res, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("read answer: %v", err)
	}
	return res
}

// answer reads a whole answer.
func (c *client) answer(method string) (*http.Response, string, error) {
	c.t.Helper()
	res := c.head(method)
	body, err := io.ReadAll(res.Body)
	return res, string(body), err
}

func (r *rig) get(path string) (*http.Response, string) {
	r.t.Helper()
	res, body, err := r.dial().send("GET " + path + " HTTP/1.1\r\nHost: test\r\n\r\n").answer("GET")
	if err != nil {
		r.t.Fatalf("read body: %v", err)
	}
	return res, body
}

// backendOf starts a server with a handler, over HTTP/1.1 and h2c.
func backendOf(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetHTTP1(true)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.Start()
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	return srv.Listener.Addr().String()
}

// rawServer starts a server that does what f says with its connections, counted from 0, and closes them after that.
func rawServer(t *testing.T, f func(n int, c *serverConn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	running.Go(func() {
		for n := 0; ; n++ {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			running.Go(func() {
				defer c.Close()
				f(n, &serverConn{TCPConn: c.(*net.TCPConn), r: bufio.NewReader(c)})
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return ln.Addr().String()
}

type serverConn struct {
	*net.TCPConn
	r    *bufio.Reader
	read <-chan struct{} // closed when the client has read what there was
}

// request reads a whole request; nil at the connection's end.
func (c *serverConn) request() *http.Request {
	req, err := http.ReadRequest(c.r)
	if err != nil {
		return nil
	}
	b, err := io.ReadAll(req.Body)
	if err != nil {
		return nil
	}
	req.Body = io.NopCloser(bytes.NewReader(b))
	return req
}

func (c *serverConn) say(text string) { _, _ = io.WriteString(c, text) }

func (c *serverConn) reset() {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// rest waits until the proxy has closed the connection.
func (c *serverConn) rest() { _, _ = io.Copy(io.Discard, c.r) }

// closedPort returns an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	for {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ln.Close()
		if _, given := closedPorts.LoadOrStore(ln.Addr().String(), true); !given {
			return ln.Addr().String()
		}
	}
}

var closedPorts sync.Map

func mustContain(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%s has no %q:\n%s", what, p, text)
		}
	}
}
