package httpproxy

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/seed-e3b9a99f/baton/proxy/config"
)

func TestRoutes(t *testing.T) {
	rt := newRouter(config.Listener{Upstream: "rest", Routes: []config.Route{
		{PathPrefix: "/api", Upstream: "api"},
		{PathPrefix: "/api/v2/", Upstream: "api2"},
		{Hosts: []string{"*.example.com"}, Upstream: "wild"},
		{Hosts: []string{"*.deep.example.com"}, PathPrefix: "/d", Upstream: "deep"},
		{Hosts: []string{"WWW.example.com"}, PathPrefix: "/static", Upstream: "static"},
		{Hosts: []string{"www.example.com", "example.org"}, Upstream: "www"},
	}})
	for _, tt := range []struct{ host, path, want string }{
		{"other.test", "/", "rest"},
		{"other.test", "/api", "api"},
		{"other.test", "/api/", "api"},
		{"other.test", "/api/v1", "api"},
		{"other.test", "/api/v2", "api2"},
		{"other.test", "/api/v2/x", "api2"},
		{"other.test", "/api/v20", "api"},
		{"other.test", "/apis", "rest"},
		{"other.test", "/x/../api/v2", "api2"},
		{"other.test", "//api//v2/x", "api2"},
		{"other.test", "/api/../x", "rest"},
		{"www.example.com", "/static/a", "static"},
		{"www.example.com", "/statics", "www"},
		{"www.example.com:8080", "/static", "static"},
		{"wWw.eXample.com.", "/", "www"},
		{"example.org", "/api", "www"},
		{"a.example.com", "/api", "wild"},
		{"a.b.example.com", "/", "wild"},
		{"a.deep.example.com", "/d/e", "deep"},
		{"a.deep.example.com", "/e", "wild"},
		{"example.com", "/", "rest"},
		{".example.com", "/", "rest"},
		{"evil-example.com", "/", "rest"},
		{"[::1]:80", "/api", "api"},
		{"", "/", "rest"},
		{"other.test", "*", "rest"},
	} {
		if got := rt.find(tt.host, tt.path); got != tt.want {
			t.Errorf("%s%s goes to %q, not %q", tt.host, tt.path, got, tt.want)
		}
	}
}

func TestNoRoute(t *testing.T) {
	rig := newRig(t, func(l *config.Listener, _ *config.Upstream, _ *Options) {
		l.Upstream = ""
		l.Routes = []config.Route{{Hosts: []string{"known"}, Upstream: "app"}}
	}, closedPort(t))
	res, _ := rig.get("/")
	if e := rig.exchange(); res.StatusCode != 404 || e.Class != NoRoute || e.Upstream != "" {
		t.Errorf("%d, observed %+v", res.StatusCode, e)
	}
}

func TestMisdirectedRequests(t *testing.T) {
	terms := newTLSTerms(config.Listener{TLS: &config.TLS{Hosts: []config.TLSHost{
		{Names: []string{"admin.test"}, ClientCA: "ca.pem"}, {Names: []string{"*.in.test"}, ClientCA: "other.pem"},
	}}})
	for _, tt := range []struct {
		sni, host string
		want      bool
	}{
		{"www.test", "www.test", false},
		{"www.test", "other.test:443", false},
		{"www.test", "admin.test", true},
		{"www.test", "ADMIN.test.:443", true},
		{"admin.test", "www.test", true},
		{"", "admin.test", true},
		{"", "www.test", false},
		{"a.in.test", "b.in.test", false},
		{"a.b.in.test", "c.in.test", true},
		{"a.b.in.test", "www.test", true},
		{"a.b.in.test", "a.b.in.test", false},
		{"www.test", "a.in.test", true},
		{"admin.test", "a.in.test", true},
	} {
		r := &http.Request{Host: tt.host, TLS: &tls.ConnectionState{ServerName: tt.sni}}
		if got := terms.misdirected(r); got != tt.want {
			t.Errorf("%s on a connection to %q: misdirected %v", tt.host, tt.sni, got)
		}
	}
	h := New(Options{Listener: config.Listener{Upstream: "app", TLS: &config.TLS{Hosts: []config.TLSHost{{Names: []string{"admin.test"}}}}}})
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "https://admin.test/", nil)
	r.TLS.ServerName = "www.test"
	if h.ServeHTTP(w, r); w.Code != 421 {
		t.Errorf("status %d", w.Code)
	}
}

func TestThePageIsWhatTheClientLikes(t *testing.T) {
	for accept, want := range map[string]string{
		"":                                 "text/plain",
		"*/*":                              "text/plain",
		"text/html,application/xml;q=0.9":  "text/html",
		"application/json":                 "application/json",
		"text/html;q=0.1,application/json": "application/json",
		"TEXT/HTML":                        "text/html",
		"text/html;q=0":                    "text/plain",
		"image/png":                        "text/plain",
	} {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept", accept)
		writePage(w, r, NoServer)
		if got := w.Header().Get("Content-Type"); !strings.HasPrefix(got, want) {
			t.Errorf("%q: %s", accept, got)
		}
		if w.Code != 503 || w.Header().Get("Retry-After") != "5" || !strings.Contains(w.Body.String(), "503") && want != "application/json" {
			t.Errorf("%q: %d %v %s", accept, w.Code, w.Header(), w.Body)
		}
		if want == "application/json" {
			var told struct {
				Status int
				Class  Class
			}
			if err := json.Unmarshal(w.Body.Bytes(), &told); err != nil || told.Status != 503 || told.Class != NoServer {
				t.Errorf("%v: %s", err, w.Body)
			}
		}
	}
}

func TestEveryClassHasAPage(t *testing.T) {
	for _, c := range []Class{
		ConnectRefused, ConnectTimeout, ConnectFailed, Reset, Cut, ResponseTimeout, Malformed, NoServer, Busy, NoRoute,
		ClientTimeout, TooLarge, BadRequest, Misdirected, NotAllowed,
	} {
		if told[c] == "" || c.status() < 400 {
			t.Errorf("%s: %q, %d", c, told[c], c.status())
		}
	}
}
