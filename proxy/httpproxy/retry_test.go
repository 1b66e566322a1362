package httpproxy

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-e3b9a99f/baton/proxy/config"
)

// dying reads a request and closes the connection without an answer.
func dying(t *testing.T, seen *atomic.Int32) string {
	return rawServer(t, func(_ int, c *serverConn) {
		if c.request() != nil {
			seen.Add(1)
		}
	})
}

func TestAnotherServerIsAsked(t *testing.T) {
	post := func(size int) string {
		return fmt.Sprintf("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("x", size))
	}
	get := "GET / HTTP/1.1\r\nHost: test\r\n\r\n"
	tests := []struct {
		name    string
		request string
		refuses bool // the first server refuses; if not, it dies when it has the request
		retries int
		status  int
		counted int
	}{
		{"GET, refused", get, true, 1, 200, 1},
		{"GET, refused, no retries", get, true, 0, 502, 0},
		{"POST, refused", post(5), true, 1, 200, 1},
		{"large POST, refused", post(50000), true, 1, 200, 1},
		{"GET, dies", get, false, 1, 200, 1},
		{"GET, dies, no retries", get, false, 0, 502, 0},
		{"DELETE, dies", strings.Replace(get, "GET", "DELETE", 1), false, 1, 200, 1},
		{"POST without body, dies", post(0), false, 1, 502, 0},
		{"POST, dies", post(5), false, 1, 502, 0},
		{"PUT with a body, dies", strings.Replace(post(5), "POST", "PUT", 1), false, 1, 502, 0},
		{"GET with a body, dies", strings.Replace(post(5), "POST", "GET", 1), false, 1, 502, 0},
		{"unknown method, dies", strings.Replace(get, "GET", "WASH", 1), false, 1, 502, 0},
		{"large POST, dies", post(50000), false, 1, 502, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var seen atomic.Int32
			good := backendOf(t, func(w http.ResponseWriter, r *http.Request) {
				n, _ := io.Copy(io.Discard, r.Body)
				if n != max(r.ContentLength, 0) {
					w.WriteHeader(400)
				}
			})
			bad := closedPort(t) // after the other: a free port may be given again
			if !tt.refuses {
				bad = dying(t, &seen)
			}
			// The first pick is the first server or the second; either way one request of two meets the bad one.
			rig := newRig(t, func(_ *config.Listener, up *config.Upstream, _ *Options) { up.Retries = tt.retries }, bad, good)
			var e Exchange
			for range 3 {
				res, _, err := rig.dial().send(tt.request).answer("GET")
				if err != nil {
					t.Fatal(err)
				}
				e = rig.exchange()
				if res.StatusCode != e.Status {
					t.Errorf("the client got %d, observed %d", res.StatusCode, e.Status)
				}
				if e.Retries > 0 || e.Status != 200 {
					break
				}
			}
			if e.Status != tt.status || e.Retries != tt.counted {
				t.Errorf("observed %+v", e)
			}
			if !tt.refuses && seen.Load() != 1 {
				t.Errorf("the dying server saw %d requests", seen.Load())
			}
			for _, s := range rig.pool.Status() {
				if s.Address == bad && s.Failures != 1 {
					t.Errorf("the pool counted %d failures", s.Failures)
				}
			}
		})
	}
}

func TestEveryServerFails(t *testing.T) {
	rig := newRig(t, func(_ *config.Listener, up *config.Upstream, _ *Options) { up.Retries = 5 }, closedPort(t), closedPort(t), closedPort(t))
	res, _ := rig.get("/")
	if e := rig.exchange(); res.StatusCode != 502 || e.Retries != 2 || e.Class != ConnectRefused {
		t.Errorf("observed %+v", e)
	}
}

// TestAnIdleConnectionThatTheServerClosed is one that answers each connection's first request and closes when the next
// request has come: as a server that had decided to close, and had not yet.
func TestAnIdleConnectionThatTheServerClosed(t *testing.T) {
	for _, method := range []string{"GET", "POST"} {
		t.Run(method, func(t *testing.T) {
			var conns atomic.Int32
			addr := rawServer(t, func(n int, c *serverConn) {
				conns.Add(1)
				c.request()
				c.say(ok)
				c.request()
			})
			rig := newRig(t, nil, addr)
			want := []int{200, 200, 200}
			if method == "POST" {
				want = []int{200, 502, 200} // it must not be sent twice
			}
			for i, status := range want {
				res, _, _ := rig.dial().send(method + " / HTTP/1.1\r\nHost: test\r\n\r\n").answer(method)
				e := rig.exchange()
				if res.StatusCode != status || e.Retries != 0 {
					t.Errorf("request %d: %d, want %d; observed %+v", i, res.StatusCode, status, e)
				}
			}
			if got := rig.pool.Status()[0].Failures; got != 0 {
				t.Errorf("%d failures for what servers may do", got)
			}
		})
	}
}

// TestAnIdleConnectionIsLookedAt: what the server has closed, or said unasked, is not used, whatever the method.
func TestAnIdleConnectionIsLookedAt(t *testing.T) {
	for _, what := range []string{"closed", "reset", "unasked", "said close"} {
		t.Run(what, func(t *testing.T) {
			closed := make(chan struct{}, 10)
			var all sync.WaitGroup
			defer all.Wait()
			addr := rawServer(t, func(n int, c *serverConn) {
				c.request()
				if what == "said close" {
					c.say(strings.Replace(ok, "Content", "Connection: close\r\nContent", 1))
				} else {
					c.say(ok)
				}
				switch what {
				case "reset":
					c.reset()
				case "closed":
					_ = c.Close()
				case "unasked":
					c.say("HTTP/1.1 408 Request Timeout\r\nContent-Length: 4\r\n\r\nevil")
				}
				closed <- struct{}{}
				c.rest()
			})
			rig := newRig(t, nil, addr)
			for i := range 5 {
				res, body, _ := rig.dial().send("POST / HTTP/1.1\r\nHost: test\r\n\r\n").answer("POST")
				if res.StatusCode != 200 || body != "ok" {
					t.Fatalf("request %d: %d %q", i, res.StatusCode, body)
				}
				receive(t, closed, "the server's end") // on loopback what was sent has arrived by then
				rig.exchange()
			}
		})
	}
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	var conns atomic.Int32
	addr := rawServer(t, func(_ int, c *serverConn) {
		conns.Add(1)
		for req := c.request(); req != nil; req = c.request() {
			switch req.URL.Path {
			case "/chunked":
				c.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nTrailer: yes\r\n\r\n")
			case "/304":
				c.say("HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n")
			case "/204":
				c.say("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
			default:
				if req.Method == "HEAD" {
					c.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
				} else {
					c.say(ok)
				}
			}
		}
	})
	rig := newRig(t, nil, addr)
	large := strings.Repeat("x", 20000)
	for range 3 {
		for _, req := range []string{
			"GET / HTTP/1.1\r\nHost: test\r\n\r\n", "HEAD / HTTP/1.1\r\nHost: test\r\n\r\n",
			"GET /chunked HTTP/1.1\r\nHost: test\r\n\r\n", "GET /304 HTTP/1.1\r\nHost: test\r\n\r\n",
			"GET /204 HTTP/1.1\r\nHost: test\r\n\r\n",
			"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 20000\r\n\r\n" + large,
			"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n4e20\r\n" + large + "\r\n0\r\n\r\n",
		} {
			method, _, _ := strings.Cut(req, " ")
			c := rig.dial().send(req)
			res := c.head(method)
			for res.StatusCode < 200 {
				res = c.head(method)
			}
			if _, err := io.ReadAll(res.Body); err != nil || res.StatusCode >= 400 {
				t.Errorf("%s: %d, %v", req[:20], res.StatusCode, err)
			}
			rig.exchange()
		}
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestIdleConnectionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := fakeConn(), fakeConn()
		idle := idleConns{limit: 2}
		idle.put(a.conn, time.Second)
		idle.put(b.conn, time.Minute)
		c := fakeConn()
		idle.put(c.conn, time.Minute)
		if !c.closed.Load() {
			t.Error("one more than max_idle was kept")
		}
		time.Sleep(2 * sweepEvery)
		synctest.Wait()
		if !a.closed.Load() || b.closed.Load() {
			t.Error("the sweep closed the wrong one")
		}
		b.quiet.Store(false)
		time.Sleep(2 * sweepEvery)
		synctest.Wait()
		if !b.closed.Load() || idle.take() != nil {
			t.Error("a connection that the server closed is kept")
		}
		d := fakeConn()
		idle.put(d.conn, 10*time.Millisecond)
		time.Sleep(time.Second)
		if idle.take() != nil || !d.closed.Load() {
			t.Error("a connection was used after its time")
		}
		idle.close()
		e := fakeConn()
		idle.put(e.conn, time.Minute)
		if !e.closed.Load() {
			t.Error("one was kept after close")
		}
	})
}

func TestKeepFor(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"": idleFor, "timeout=5": 4500 * time.Millisecond, "max=3, Timeout=2": 1500 * time.Millisecond,
		"timeout=0": -500 * time.Millisecond, "timeout=500": idleFor, "timeout=x": idleFor, "timeout=-1": idleFor,
	} {
		if got := keepFor(http.Header{"Keep-Alive": {value}}); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}

// TestTheTimeToTakeARequestEnds with the request: the next on the connection has its own.
func TestTheTimeToTakeARequestEnds(t *testing.T) {
	const timeout = 50 * time.Millisecond
	addr := rawServer(t, func(_ int, c *serverConn) {
		for c.request() != nil {
			c.say(ok)
		}
	})
	rig := newRig(t, func(_ *config.Listener, up *config.Upstream, _ *Options) { up.ResponseTimeout = timeout }, addr)
	for _, body := range []string{"", strings.Repeat("x", 10000)} {
		for _, field := range []string{strings.Repeat("x", 10000), "short"} {
			res, _, _ := rig.dial().send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: test\r\nX: %s\r\nContent-Length: %d\r\n\r\n%s",
				field, len(body), body)).answer("POST")
			if e := rig.exchange(); res.StatusCode != 200 {
				t.Errorf("%d, observed %+v", res.StatusCode, e)
			}
			<-time.After(2 * timeout) // the deadlines of this request pass
		}
	}
}

func TestNoConnectionIsKeptWhileDraining(t *testing.T) {
	for _, protocol := range []string{"http1", "h2c"} {
		t.Run(protocol, func(t *testing.T) {
			ended := make(chan struct{}, 10)
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			server.Config.Protocols = new(http.Protocols)
			server.Config.Protocols.SetHTTP1(true)
			server.Config.Protocols.SetUnencryptedHTTP2(true)
			server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
				if s == http.StateClosed {
					ended <- struct{}{}
				}
			}
			server.Start()
			defer server.Close()
			var draining atomic.Bool
			rig := newRig(t, func(_ *config.Listener, up *config.Upstream, o *Options) {
				o.Draining = draining.Load
				up.Protocol = protocol
			}, server.Listener.Addr().String())
			rig.get("/")
			draining.Store(true)
			rig.get("/")
			receive(t, ended, "the connection's end")

			draining.Store(false)
			rig.get("/")
			if len(ended) > 0 {
				t.Error("a connection ended for no reason")
			}
			rig.exchange() // it is idle
			rig.exchange()
			rig.exchange()
			rig.handler.Close()
			if protocol == "http1" {
				receive(t, ended, "the connection's end after Close")
			}
			rig.get("/")
			receive(t, ended, "the connection's end after a request after Close")
		})
	}
}
