package bench

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"
)

// What the target says of requests goes with each of them.
func TestRequestsAsTheTargetSays(t *testing.T) {
	seen := make(chan request, 100)
	s := serveHTTP(t, false, func(_ *server, r request) bool {
		seen <- r
		r.respond(http.StatusTeapot, "")
		return true
	})
	at := s.target(false)
	at.Host, at.Path, at.Method, at.Expect = "www.example", "/a?b=c", http.MethodPatch, http.StatusTeapot
	at.Header = http.Header{"Accept": {"a", "b"}, "User-Agent": {"me"}, "Content-Type": {"application/json"}}
	at.Body = []byte(`{"some":"thing"}`)
	for _, make := range []func(HTTP) Lane{NewConnections, KeepAlive, Pipelined} {
		lane := make(at)
		c := client(t, lane)
		carryOut(t, c, 1, ample).expect(t, map[Failure]int{{Class: OK}: 1}, 0)
		c.Close()
		for len(seen) > 0 {
			r := <-seen
			if r.Host != at.Host || r.RequestURI != at.Path || r.Method != at.Method || r.body != string(at.Body) {
				t.Errorf("%s: %s %s of %s with %q", lane.Name(), r.Method, r.RequestURI, r.Host, r.body)
			}
			if got := strings.Join(r.Header["Accept"], ","); got != "a,b" {
				t.Errorf("%s: Accept %q", lane.Name(), got)
			}
			for name, want := range map[string]string{"User-Agent": "me", "Content-Type": "application/json"} {
				if got := r.Header[name]; len(got) != 1 || got[0] != want {
					t.Errorf("%s: %s is %q", lane.Name(), name, got)
				}
			}
		}
	}
	at.Expect = 200
	if _, err := NewConnections(at).Probe(t.Context()); err == nil || !strings.Contains(err.Error(), "418, not by 200") {
		t.Error(err)
	}
}

// The same over HTTP/2, whose pseudo-headers say it in another way.
func TestStreamsAsTheTargetSays(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT www.example/a", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") == "a" && r.ContentLength == 3 {
			w.WriteHeader(http.StatusTeapot)
		}
	})
	at := serveHandler(t, false, mux)
	at.Host, at.Path, at.Method, at.Expect = "www.example", "/a?b=c", http.MethodPut, http.StatusTeapot
	at.Header, at.Body = http.Header{"Accept": {"a"}}, []byte("abc")
	carryOut(t, client(t, HTTP2(at)), 3, ample).expect(t, map[Failure]int{{Class: OK}: 3}, 0)
	at.Method, at.Body, at.Expect = http.MethodHead, nil, http.StatusMethodNotAllowed
	carryOut(t, client(t, HTTP2(at)), 3, ample).expect(t, map[Failure]int{{Class: OK}: 3}, 0)
}

// A client certificate goes with every handshake, the half-open ones and those of HTTP/2 too.
func TestClientCertificate(t *testing.T) {
	good := serveAll(t, true, func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert })
	bare := good
	good.TLS = good.TLS.Clone()
	good.TLS.Certificates = selfSigned(t).Certificates
	for _, info := range Lanes() {
		if info.Needs != NeedsHTTPS {
			continue
		}
		at := good
		lane, err := NewLane(info.Name, Targets{HTTPS: &at, Hold: short})
		if err != nil {
			t.Fatal(err)
		}
		carryOut(t, client(t, lane), 1, ample).expect(t, map[Failure]int{{Class: OK}: 1}, 0)
		lane, _ = NewLane(info.Name, Targets{HTTPS: &bare, Hold: short})
		if _, err := lane.Probe(t.Context()); err == nil {
			t.Errorf("%s: no certificate, and no error", info.Name)
		}
	}
}

func TestTargetsThatCannotBe(t *testing.T) {
	for want, at := range map[string]HTTP{
		"white space":               {Path: "/a b"},
		"is no host name":           {Host: "a b"},
		"cannot ask with it":        {Method: "GET /"},
		"from 200 to 599":           {Expect: 99},
		"the bench sets it itself":  {Header: http.Header{"content-length": {"3"}}},
		"is no header name":         {Header: http.Header{"a b": {"3"}}},
		"is no header value":        {Header: http.Header{"A": {"3\r\nB: 4"}}},
		"the bench cannot ask with": {Method: http.MethodConnect},
	} {
		at.Addr = "127.0.0.1:1"
		for _, make := range []func(HTTP) Lane{NewConnections, KeepAlive, HTTP2, WebSocket} {
			if _, err := make(at).Probe(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: %v, want %q", at, err, want)
			}
		}
	}
}
