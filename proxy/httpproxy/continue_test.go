package httpproxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/proxy/config"
)

const expecting = "POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"

func TestContinueIsTheServersToSay(t *testing.T) {
	for _, protocol := range []string{"http1", "h2c"} {
		t.Run(protocol, func(t *testing.T) {
			say := make(chan struct{})
			addr := backendOf(t, func(w http.ResponseWriter, r *http.Request) {
				<-say
				body, _ := io.ReadAll(r.Body) // net/http says 100 now
				_, _ = w.Write(body)
			})
			rig := newRig(t, func(_ *config.Listener, up *config.Upstream, _ *Options) { up.Protocol = protocol }, addr)
			c := rig.dial().send(expecting)
			_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			if b, err := c.r.Peek(1); err == nil {
				t.Fatalf("the client was told %q before the server said anything", b)
			}
			_ = c.SetReadDeadline(time.Now().Add(patience))
			close(say)
			if res := c.head("POST"); res.StatusCode != 100 {
				t.Fatalf("status %d", res.StatusCode)
			}
			c.send("body")
			if res, body, _ := c.answer("POST"); res.StatusCode != 200 || body != "body" {
				t.Errorf("%d %q", res.StatusCode, body)
			}
		})
	}
}

func TestContinueIsRefused(t *testing.T) {
	for _, protocol := range []string{"http1", "h2c"} {
		t.Run(protocol, func(t *testing.T) {
			addr := backendOf(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
			rig := newRig(t, func(_ *config.Listener, up *config.Upstream, _ *Options) { up.Protocol = protocol }, addr)
			start := time.Now()
			c := rig.dial().send(expecting)
			res, _, err := c.answer("POST")
			if res.StatusCode != 403 || err != nil || !res.Close {
				t.Errorf("%d, %v, close %v", res.StatusCode, err, res.Close)
			}
			if rest, _ := io.ReadAll(c.r); len(rest) > 0 {
				t.Errorf("and then %q", rest)
			}
			if e := rig.exchange(); e.BytesIn != 0 || e.Status != 403 || e.Class != "" {
				t.Errorf("observed %+v", e)
			}
			if took := time.Since(start); took > linger*4/5 {
				t.Errorf("took %v", took)
			}
		})
	}
}

// TestAServerThatDoesNotKnowContinue gets the body after a while.
func TestAServerThatDoesNotKnowContinue(t *testing.T) {
	rig := newRig(t, nil, rawServer(t, func(_ int, c *serverConn) {
		c.request()
		c.say(ok)
	}))
	c := rig.dial().send(expecting)
	if res := c.head("POST"); res.StatusCode != 100 {
		t.Fatalf("status %d", res.StatusCode)
	}
	if res, _, _ := c.send("body").answer("POST"); res.StatusCode != 200 {
		t.Errorf("status %d", res.StatusCode)
	}
}

func TestEarlyHints(t *testing.T) {
	for _, protocol := range []string{"http1", "h2c"} {
		t.Run(protocol, func(t *testing.T) {
			addr := backendOf(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Link", "</style.css>")
				w.WriteHeader(http.StatusEarlyHints)
				w.Header().Del("Link")
				_, _ = io.WriteString(w, "page")
			})
			rig := newRig(t, func(_ *config.Listener, up *config.Upstream, _ *Options) { up.Protocol = protocol }, addr)
			c := rig.dial().send("GET / HTTP/1.1\r\nHost: test\r\n\r\n")
			if res := c.head("GET"); res.StatusCode != 103 || res.Header.Get("Link") != "</style.css>" {
				t.Errorf("%d %v", res.StatusCode, res.Header)
			}
			if res, body, _ := c.answer("GET"); res.StatusCode != 200 || body != "page" || res.Header.Get("Link") != "" {
				t.Errorf("%d %v %q", res.StatusCode, res.Header, body)
			}
			old := rig.dial().send("GET / HTTP/1.0\r\nHost: test\r\n\r\n")
			if res, body, _ := old.answer("GET"); res.StatusCode != 200 || body != "page" {
				t.Errorf("HTTP/1.0: %d %q", res.StatusCode, body)
			}
		})
	}
}

// TestAnAnswerBeforeTheBodysEnd reaches a client that is still sending, which is then not taken for one that begins
// another request.
func TestAnAnswerBeforeTheBodysEnd(t *testing.T) {
	for _, protocol := range []string{"http1", "h2c"} {
		for _, framing := range []string{"Content-Length: 100000000", "Transfer-Encoding: chunked"} {
			t.Run(protocol+" "+framing, func(t *testing.T) {
				addr := backendOf(t, func(w http.ResponseWriter, _ *http.Request) {
					_ = http.NewResponseController(w).EnableFullDuplex() // else it waits for the body
					w.WriteHeader(http.StatusForbidden)
					_ = http.NewResponseController(w).Flush()
				})
				rig := newRig(t, func(_ *config.Listener, up *config.Upstream, _ *Options) { up.Protocol = protocol }, addr)
				c := rig.dial().send("POST / HTTP/1.1\r\nHost: test\r\n" + framing + "\r\n\r\n40\r\n")
				res := c.head("POST")
				if res.StatusCode != 403 || !res.Close {
					t.Errorf("status %d, close %v", res.StatusCode, res.Close)
				}
				c.send(strings.Repeat("GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n", 10))
				_, _ = io.ReadAll(c.r)
				rig.exchange()
				select {
				case e := <-rig.exchanges:
					t.Errorf("then there was %s %s", e.Method, e.Request.URL)
				default:
				}
			})
		}
	}
}

func TestMaxBodyBytes(t *testing.T) {
	addr := backendOf(t, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		_, _ = fmt.Fprint(w, len(b), err)
	})
	for _, protocol := range []string{"http1", "h2c"} {
		for _, tt := range []struct {
			framing string
			body    string
			status  int
		}{
			{"Content-Length: 10", "0123456789", 200},
			{"Content-Length: 11", "0123456789a", 413},
			{"Content-Length: 11\r\nExpect: 100-continue", "", 413},
			{"Transfer-Encoding: chunked", "a\r\n0123456789\r\n0\r\n\r\n", 200},
			{"Transfer-Encoding: chunked", "5\r\n01234\r\n6\r\n56789a\r\n0\r\n\r\n", 413},
			{"Transfer-Encoding: chunked", "b\r\n0123456789a\r\n0\r\n\r\n", 413},
		} {
			t.Run(protocol+tt.framing, func(t *testing.T) {
				rig := newRig(t, func(l *config.Listener, up *config.Upstream, _ *Options) {
					l.HTTP.MaxBodyBytes = 10
					up.Protocol = protocol
				}, addr)
				c := rig.dial().send("POST / HTTP/1.1\r\nHost: test\r\n" + tt.framing + "\r\n\r\n" + tt.body)
				res, body, _ := c.answer("POST")
				e := rig.exchange()
				if res.StatusCode != tt.status || e.Status != tt.status || (e.Class == TooLarge) != (tt.status == 413) {
					t.Errorf("%d %q, observed %+v", res.StatusCode, body, e)
				}
			})
		}
	}
}

// TestATooLargeBodyThatGoesOn: the client reads the answer, though it is still sending.
func TestATooLargeBodyThatGoesOn(t *testing.T) {
	addr := backendOf(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	rig := newRig(t, func(l *config.Listener, _ *config.Upstream, _ *Options) { l.HTTP.MaxBodyBytes = 10000 }, addr)
	for _, framing := range []string{"Content-Length: 100000", "Transfer-Encoding: chunked"} {
		c := rig.dial().send("POST / HTTP/1.1\r\nHost: test\r\n" + framing + "\r\n\r\n186a0\r\n")
		for range 5 {
			c.send(strings.Repeat("x", 10000))
		}
		res := c.head("POST")
		c.send(strings.Repeat("x", 10000))
		body, err := io.ReadAll(res.Body)
		if res.StatusCode != 413 || err != nil || !strings.Contains(string(body), "too large") {
			t.Errorf("%s: %d %q %v", framing, res.StatusCode, body, err)
		}
	}
}

func TestAMalformedBody(t *testing.T) {
	addr := backendOf(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body) })
	for _, body := range []string{"zz\r\n", "-1\r\n", "3\r\nabcde\r\n0\r\n\r\n", "100000000000000000\r\n", "3 \x00\r\nabc\r\n0\r\n\r\n"} {
		rig := newRig(t, nil, addr)
		res, _, _ := rig.dial().send("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n" + body).answer("POST")
		if e := rig.exchange(); res.StatusCode != 400 || e.Class != BadRequest {
			t.Errorf("%q: %d, observed %+v", body, res.StatusCode, e)
		}
	}
}

func TestASlowBody(t *testing.T) {
	for _, length := range []string{"10", "100000"} {
		addr := backendOf(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body) })
		rig := newRig(t, func(l *config.Listener, _ *config.Upstream, _ *Options) {
			l.HTTP.ReadTimeout = 100 * time.Millisecond
		}, addr)
		res, _, _ := rig.dial().send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: " + length + "\r\n\r\nabc").answer("POST")
		if e := rig.exchange(); res.StatusCode != 408 || e.Class != ClientTimeout {
			t.Errorf("%s: %d, observed %+v", length, res.StatusCode, e)
		}
	}
}
