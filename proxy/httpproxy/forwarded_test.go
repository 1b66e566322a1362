package httpproxy

import (
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/seed-e3b9a99f/baton/proxy/config"
)

func TestForwarding(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	tests := []struct {
		name     string
		peer     string
		host     string
		given    string // fields of the client's
		standard bool
		secure   bool
		want     string // fields that the server sees, in order
		client   string
	}{
		{"plain", "192.0.2.1:999", "a.test", "", false, false,
			"X-Forwarded-For: 192.0.2.1, X-Forwarded-Host: a.test, X-Forwarded-Port: 80, X-Forwarded-Proto: http", "192.0.2.1"},
		{"TLS, with port", "192.0.2.1:999", "a.test:8443", "", false, true,
			"X-Forwarded-For: 192.0.2.1, X-Forwarded-Host: a.test:8443, X-Forwarded-Port: 8443, X-Forwarded-Proto: https", "192.0.2.1"},
		{"standard", "192.0.2.1:999", "a.test", "", true, true,
			"Forwarded: for=192.0.2.1;host=a.test;proto=https, X-Forwarded-For: 192.0.2.1, X-Forwarded-Host: a.test, " +
				"X-Forwarded-Port: 443, X-Forwarded-Proto: https", "192.0.2.1"},
		{"standard, IPv6, port in host", "[2001:db8::1]:999", "[2001:db8::2]:8080", "", true, false,
			`Forwarded: for="[2001:db8::1]";host="[2001:db8::2]:8080";proto=http, X-Forwarded-For: 2001:db8::1, ` +
				"X-Forwarded-Host: [2001:db8::2]:8080, X-Forwarded-Port: 8080, X-Forwarded-Proto: http", "2001:db8::1"},
		{"mapped IPv4, zone", "[::ffff:192.0.2.1]:999", "a.test", "", false, false,
			"X-Forwarded-For: 192.0.2.1, X-Forwarded-Host: a.test, X-Forwarded-Port: 80, X-Forwarded-Proto: http", "192.0.2.1"},
		{"a liar", "192.0.2.1:999", "a.test",
			"X-Forwarded-For: 1.1.1.1\nX-Forwarded-Host: evil\nX-Forwarded-Proto: https\nX-Forwarded-Port: 1\nForwarded: for=1.1.1.1\n" +
				"X-Real-Ip: 1.1.1.1\nX-Forwarded-Prefix: /evil\nX-Forwarded-Ssl: on\nX_forwarded_for: 1.1.1.1\nX_real-Ip: 1.1.1.1\nX-Other: kept",
			false, false,
			"X-Forwarded-For: 192.0.2.1, X-Forwarded-Host: a.test, X-Forwarded-Port: 80, X-Forwarded-Proto: http, X-Other: kept", "192.0.2.1"},
		{"a trusted proxy", "10.1.2.3:999", "a.test",
			"X-Forwarded-For: 198.51.100.7\nX-Forwarded-Host: pub.test\nX-Forwarded-Proto: https\nX-Forwarded-Port: 443\n" +
				"Forwarded: for=198.51.100.7\nX-Forwarded-Prefix: /p\nX_forwarded_for: 1.1.1.1", true, false,
			"Forwarded: for=198.51.100.7, for=10.1.2.3;host=a.test;proto=http, X-Forwarded-For: 198.51.100.7, 10.1.2.3, " +
				"X-Forwarded-Host: pub.test, X-Forwarded-Port: 443, X-Forwarded-Prefix: /p, X-Forwarded-Proto: https", "198.51.100.7"},
		{"a trusted proxy, Forwarded off", "10.1.2.3:999", "a.test", "Forwarded: for=198.51.100.7", false, false,
			"Forwarded: for=198.51.100.7, X-Forwarded-For: 10.1.2.3, X-Forwarded-Host: a.test, X-Forwarded-Port: 80, " +
				"X-Forwarded-Proto: http", "10.1.2.3"},
		{"a chain of proxies behind a liar", "[fd00::1]:999", "a.test",
			"X-Forwarded-For: 1.1.1.1, 203.0.113.9\nX-Forwarded-For: 10.9.9.9", false, false,
			"X-Forwarded-For: 1.1.1.1, 203.0.113.9, 10.9.9.9, fd00::1, X-Forwarded-Host: a.test, X-Forwarded-Port: 80, " +
				"X-Forwarded-Proto: http", "203.0.113.9"},
		{"a trusted proxy that talks nonsense", "10.1.2.3:999", "a.test", "X-Forwarded-For: who, 10.4.4.4", false, false,
			"X-Forwarded-For: who, 10.4.4.4, 10.1.2.3, X-Forwarded-Host: a.test, X-Forwarded-Port: 80, X-Forwarded-Proto: http", "10.4.4.4"},
		{"a Unix socket", "@", "a.test", "X-Forwarded-For: 1.1.1.1", true, false,
			"Forwarded: for=unknown;host=a.test;proto=http, X-Forwarded-Host: a.test, X-Forwarded-Port: 80, X-Forwarded-Proto: http",
			"invalid IP"},
		{"no host", "192.0.2.1:999", "", "", true, false,
			"Forwarded: for=192.0.2.1;proto=http, X-Forwarded-For: 192.0.2.1, X-Forwarded-Port: 80, X-Forwarded-Proto: http", "192.0.2.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, _ := http.NewRequest("GET", "http://a.test/", nil)
			r.RemoteAddr, r.Host = tt.peer, tt.host
			for line := range strings.Lines(tt.given) {
				name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
				r.Header[name] = append(r.Header[name], value)
			}
			f := forwarding{trusted: trusted, standard: tt.standard, secure: tt.secure}
			o := f.of(r)
			out, err := newOutgoing(nil, r, o)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			out.each(func(name, value string) { got = append(got, name+": "+value) })
			slices.Sort(got)
			if all := strings.Join(got, ", "); all != tt.want {
				t.Errorf("the server sees\n%s, not\n%s", all, tt.want)
			}
			if o.client.String() != tt.client {
				t.Errorf("client %v", o.client)
			}
		})
	}
}

func TestHopByHopFields(t *testing.T) {
	rec := record(t)
	rig := newRig(t, nil, rec.addr)
	_, _, _ = rig.dial().send("GET /a?b=%41;c&d HTTP/1.1\r\nHost: Test:1\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 5\r\n" +
		"Proxy-Authorization: secret\r\nProxy-Connection: keep-alive\r\nProxy: http://evil\r\nTE: trailers, gzip\r\nTrailer: X\r\n" +
		"Cookie: a=b\r\nAuthorization: kept\r\nX-Twice: 1\r\nX-Twice: 2\r\n\r\n").answer("GET")
	_, heads := rec.requests()
	lines := strings.Split(heads[0], "\r\n")
	slices.Sort(lines[1:])
	want := []string{
		"GET /a?b=%41;c&d HTTP/1.1", "Authorization: kept", "Cookie: a=b", "Host: Test:1", "Te: trailers",
		"X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: Test:1", "X-Forwarded-Port: 1", "X-Forwarded-Proto: http", "X-Twice: 1", "X-Twice: 2",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("the server saw\n%s", strings.Join(lines, "\n"))
	}
}

func TestHopByHopFieldsOfAnswers(t *testing.T) {
	rig := newRig(t, nil, rawServer(t, func(_ int, c *serverConn) {
		c.request()
		c.say("HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\n" +
			"Set-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok")
	}))
	c := rig.dial()
	for range 2 { // the client's connection lives on, whatever the server's does
		res, _, _ := c.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").answer("GET")
		if res.Close || len(res.Header["Set-Cookie"]) != 2 || len(res.Header) != 3 {
			t.Errorf("close %v, fields %v", res.Close, res.Header) // a Date is added, and no Content-Type is guessed
		}
	}
}

func TestTheTargetIsPassedOnToH2C(t *testing.T) {
	addr := backendOf(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Agent", strings.Join(r.Header["User-Agent"], "|"))
		_, _ = io.WriteString(w, r.Method+" "+r.RequestURI+" "+r.Host)
	})
	rig := newRig(t, func(_ *config.Listener, up *config.Upstream, _ *Options) { up.Protocol = "h2c" }, addr)
	for _, target := range []string{"/", "//x", "/a%2Fb", "/a/../b", "/a?", "/a?x=%zz&y;z", "/%C3%A4", "/a+b"} {
		res, body, _ := rig.dial().send("GET " + target + " HTTP/1.1\r\nHost: test:1\r\n\r\n").answer("GET")
		if body != "GET "+target+" test:1" || res.Header.Get("Agent") != "" {
			t.Errorf("the server saw %q from %q, not %q", body, res.Header.Get("Agent"), target)
		}
	}
}

func TestTheTargetIsPassedOnAsItCame(t *testing.T) {
	rec := record(t)
	rig := newRig(t, func(l *config.Listener, _ *config.Upstream, _ *Options) {
		l.Routes = []config.Route{{PathPrefix: "/", Upstream: "app"}}
	}, rec.addr)
	for _, target := range []string{"/", "//x", "/a%2Fb", "/a/../b", "/a?", "/a?x=%zz&y;z", "/%C3%A4", "/a+b", "*"} {
		method := "GET"
		if target == "*" {
			method = "OPTIONS"
		}
		if res, _, _ := rig.dial().send(method + " " + target + " HTTP/1.1\r\nHost: test\r\n\r\n").answer("GET"); res.StatusCode != 200 {
			t.Errorf("%s: %d", target, res.StatusCode)
		}
		seen, _ := rec.requests()
		if got := seen[len(seen)-1]; got != method+" "+target+" " {
			t.Errorf("the server saw %q, not %q", got, target)
		}
	}
}
