package httpproxy

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/proxy/config"
)

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func TestAServerThatFailsIsAnsweredLoggedAndObserved(t *testing.T) {
	tests := []struct {
		name   string
		server func(c *serverConn)
		status int
		class  Class
		broken bool // the client has seen the status, and sees that the body is broken
	}{
		{"closes at once", func(*serverConn) {}, 502, Reset, false},
		{"resets at once", func(c *serverConn) { c.reset() }, 502, Reset, false},
		{"closes after the request", func(c *serverConn) { c.request() }, 502, Reset, false},
		{"resets after the request", func(c *serverConn) { c.request(); c.reset() }, 502, Reset, false},
		{"cuts the status line", func(c *serverConn) { c.request(); c.say("HTTP/1.1 20") }, 502, Cut, false},
		{"cuts the head", func(c *serverConn) { c.request(); c.say("HTTP/1.1 200 OK\r\nContent-Le") }, 502, Cut, false},
		{"says nothing", func(c *serverConn) { c.request(); c.rest() }, 504, ResponseTimeout, false},
		{"stops in the head", func(c *serverConn) { c.request(); c.say("HTTP/1.1 200 OK\r\n"); c.rest() }, 504, ResponseTimeout, false},
		{"stops after a 103", func(c *serverConn) { c.request(); c.say("HTTP/1.1 103 Early\r\n\r\n"); c.rest() }, 504, ResponseTimeout, false},
		{"speaks garbage", func(c *serverConn) { c.request(); c.say("\x16\x03\x01 what do you want?\r\n\r\n") }, 502, Malformed, false},
		{"speaks HTTP/2", func(c *serverConn) { c.request(); c.say("HTTP/2.0 200 OK\r\n\r\n") }, 502, Malformed, false},
		{"has a bad status", func(c *serverConn) { c.request(); c.say("HTTP/1.1 42 What\r\n\r\n") }, 502, Malformed, false},
		{"has a status below 100", func(c *serverConn) { c.request(); c.say("HTTP/1.1 099 What\r\n\r\n") }, 502, Malformed, false},
		{"has a field without colon", func(c *serverConn) { c.request(); c.say("HTTP/1.1 200 OK\r\nnothing\r\n\r\n") }, 502, Malformed, false},
		{"has two lengths", func(c *serverConn) {
			c.request()
			c.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc")
		}, 502, Malformed, false},
		{"has an endless head", func(c *serverConn) {
			c.request()
			c.say("HTTP/1.1 200 OK\r\nX: ")
			for range maxAnswerHead/1024 + 64 {
				c.say(strings.Repeat("x", 1024))
			}
			c.rest()
		}, 502, Malformed, false},
		{"changes protocol unasked", func(c *serverConn) {
			c.request()
			c.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		}, 502, Malformed, false},
		{"cuts the body", func(c *serverConn) { c.request(); c.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf") }, 200, Cut, true},
		{"resets in the body", func(c *serverConn) {
			c.request()
			c.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
			<-c.read
			c.reset()
		}, 200, Reset, true},
		{"cuts a large body", func(c *serverConn) {
			c.request()
			c.say("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nhalf")
		}, 200, Cut, true},
		{"resets in a large body", func(c *serverConn) {
			c.request()
			c.say("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nhalf")
			<-c.read
			c.reset()
		}, 200, Reset, true},
		{"cuts a chunk", func(c *serverConn) {
			c.request()
			c.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf")
		}, 200, Cut, true},
		{"cuts between chunks", func(c *serverConn) {
			c.request()
			c.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
		}, 200, Cut, true},
		{"garbles a chunk", func(c *serverConn) {
			c.request()
			c.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n")
		}, 200, Malformed, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			proceed := make(chan struct{})
			addr := rawServer(t, func(_ int, c *serverConn) {
				c.read = proceed
				tt.server(c)
			})
			rig := newRig(t, func(_ *config.Listener, up *config.Upstream, _ *Options) {
				if tt.class == ResponseTimeout {
					up.ResponseTimeout = 50 * time.Millisecond
				}
			}, addr)
			c := rig.dial().send("POST /path?secret=1 HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc")
			res := c.head("POST")
			for res.StatusCode < 200 {
				res = c.head("POST")
			}
			half := make([]byte, 4)
			if tt.broken {
				if _, err := io.ReadFull(res.Body, half); err != nil || string(half) != "half" {
					t.Fatalf("the body begins %q, %v", half, err)
				}
			}
			close(proceed)
			body, err := io.ReadAll(res.Body)
			if res.StatusCode != tt.status {
				t.Errorf("status %d, not %d", res.StatusCode, tt.status)
			}
			if broken := err != nil; broken != tt.broken {
				t.Errorf("reading the body: %v", err)
			}
			if !tt.broken {
				mustContain(t, "the page", string(body), res.Status)
			}
			e := rig.exchange()
			if e.Class != tt.class || e.Status != tt.status || e.Server != addr || e.Err == nil || e.Retries != 0 {
				t.Errorf("observed %+v", e)
			}
			mustContain(t, "the log", rig.log.String(), "level=WARN", "class="+string(tt.class), "upstream=app", "server="+addr, "path=/path")
			if strings.Contains(rig.log.String(), "secret") {
				t.Error("the query is in the log:", rig.log.String())
			}
		})
	}
}

func TestAServerThatRefuses(t *testing.T) {
	rig := newRig(t, nil, closedPort(t))
	res, _ := rig.get("/")
	if e := rig.exchange(); res.StatusCode != 502 || e.Class != ConnectRefused || e.Status != 502 {
		t.Errorf("status %d, observed %+v", res.StatusCode, e)
	}
}

func TestAServerThatTakesNoBody(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	rig := newRig(t, func(_ *config.Listener, up *config.Upstream, _ *Options) {
		up.ResponseTimeout = 200 * time.Millisecond
	}, rawServer(t, func(int, *serverConn) { <-hold }))
	c := rig.dial().send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100000000\r\n\r\n")
	go func() { _, _ = io.Copy(c, io.LimitReader(zeros{}, 1e8)) }()
	e := rig.exchange()
	if e.Class != ResponseTimeout || e.Status != 504 {
		t.Errorf("observed %+v", e)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestBusyAndNoServer(t *testing.T) {
	release := make(chan struct{})
	arrived := make(chan struct{}, 1)
	addr := rawServer(t, func(_ int, c *serverConn) {
		c.request()
		arrived <- struct{}{}
		<-release
		c.say(ok)
	})
	rig := newRig(t, func(_ *config.Listener, up *config.Upstream, _ *Options) { up.MaxConnections = 1 }, addr)
	first := rig.dial().send("GET / HTTP/1.1\r\nHost: test\r\n\r\n")
	receive(t, arrived, "the first request")
	res, _ := rig.get("/")
	if e := rig.exchange(); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" || e.Class != Busy {
		t.Errorf("status %d, %v, observed %+v", res.StatusCode, res.Header, e)
	}
	close(release)
	if res, _, _ := first.answer("GET"); res.StatusCode != 200 {
		t.Errorf("the first got %d", res.StatusCode)
	}
	rig.exchange()

	rig = newRig(t, func(l *config.Listener, _ *config.Upstream, _ *Options) { l.Upstream = "other" }, addr)
	res, _ = rig.get("/")
	if e := rig.exchange(); res.StatusCode != 503 || e.Class != NoServer {
		t.Errorf("status %d, observed %+v", res.StatusCode, e)
	}
}
