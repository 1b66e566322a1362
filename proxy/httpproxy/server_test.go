package httpproxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/proxy/config"
	"github.com/seed-e3b9a99f/baton/proxy/upstream"
)

func TestServerHasTheListenersLimits(t *testing.T) {
	l := config.Listener{
		IdleTimeout: time.Minute,
		HTTP: config.HTTPOptions{
			ReadHeaderTimeout: time.Second, ReadTimeout: 2 * time.Second, WriteTimeout: 3 * time.Second, MaxHeaderBytes: 1000, H2C: true,
		},
	}
	srv := Server(l, nil, nil)
	if srv.ReadHeaderTimeout != time.Second || srv.ReadTimeout != 2*time.Second || srv.WriteTimeout != 3*time.Second ||
		srv.IdleTimeout != time.Minute || srv.MaxHeaderBytes != 1000 {
		t.Errorf("%+v", srv)
	}
	if p := srv.Protocols.String(); p != "{HTTP1,UnencryptedHTTP2}" {
		t.Errorf("protocols %s", p)
	}
	l.HTTP.H2C, l.TLS = false, &config.TLS{}
	if p := Server(l, nil, nil).Protocols.String(); p != "{HTTP1,HTTP2}" {
		t.Errorf("protocols %s", p)
	}
}

func TestALargeHead(t *testing.T) {
	rig := newRig(t, func(l *config.Listener, _ *config.Upstream, _ *Options) { l.HTTP.MaxHeaderBytes = 1000 }, closedPort(t))
	res, _, _ := rig.dial().send("GET / HTTP/1.1\r\nHost: test\r\nX: " + strings.Repeat("x", 6000) + "\r\n\r\n").answer("GET")
	if res.StatusCode != 431 {
		t.Errorf("status %d", res.StatusCode)
	}
}

func TestASlowHead(t *testing.T) {
	rig := newRig(t, func(l *config.Listener, _ *config.Upstream, _ *Options) {
		l.HTTP.ReadHeaderTimeout = 50 * time.Millisecond
	}, closedPort(t))
	c := rig.dial().send("GET / HTTP/1.1\r\nHost")
	if rest, err := io.ReadAll(c.r); err != nil || strings.Contains(string(rest), "200") {
		t.Errorf("%q, %v", rest, err)
	}
}

// TestTLSToUnixSocket serves HTTP/2 and HTTP/1.1 over TLS in front of a Unix socket.
func TestTLSToUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	unix, err := net.Listen("unix", path)
	if err != nil {
		t.Skip(err)
	}
	backend := &httptest.Server{Listener: unix, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, r.Header.Get("X-Forwarded-Proto"), r.Header.Get("X-Forwarded-Port"))
	})}}
	backend.Start()
	defer backend.Close()
	cfg := config.Upstream{Servers: []string{"unix:" + path}, ConnectTimeout: time.Second, MaxIdle: 1, Balance: config.RoundRobin}
	pool, err := upstream.New("app", cfg, upstream.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	l := config.Listener{Name: "webs", Upstream: "app", TLS: &config.TLS{}}
	h := New(Options{Listener: l, Upstreams: map[string]Upstream{"app": {pool, cfg}}, Secure: true})
	defer h.Close()
	front := &httptest.Server{Config: Server(l, h, nil)}
	if front.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	front.EnableHTTP2 = true
	front.StartTLS()
	defer front.Close()
	for _, h2 := range []bool{false, true} {
		tr := front.Client().Transport.(*http.Transport).Clone()
		tr.ForceAttemptHTTP2 = h2
		if !h2 {
			tr.TLSClientConfig.NextProtos = []string{"http/1.1"}
		}
		res, err := (&http.Client{Transport: tr}).Get(front.URL)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		tr.CloseIdleConnections()
		_, port, _ := net.SplitHostPort(front.Listener.Addr().String())
		if string(body) != "https"+port || (res.ProtoMajor == 2) != h2 {
			t.Errorf("HTTP/%d: %q", res.ProtoMajor, body)
		}
	}
}

// FuzzWriteHead: whatever request net/http reads, what is written is one request, and reads as the same.
func FuzzWriteHead(f *testing.F) {
	f.Add([]byte("GET /a?b HTTP/1.1\r\nHost: test\r\nConnection: x, Upgrade\r\nUpgrade: websocket\r\n\r\n"))
	f.Add([]byte("POST //a%2Fb HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 3\r\n\r\nabc"))
	f.Add([]byte("PUT http://a/b HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n0\r\nX: y\r\n\r\n"))
	f.Add([]byte("OPTIONS * HTTP/1.0\r\nX-Forwarded-For: a,b,,\r\nTe: trailers\r\n\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		in, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			return
		}
		in.RemoteAddr = "192.0.2.1:1"
		out, err := newOutgoing(httptest.NewRecorder(), in, (&forwarding{standard: true}).of(in))
		if err != nil {
			return
		}
		if in.ContentLength != 0 {
			out.body = newBody(nil, in, 0)
		}
		var b bytes.Buffer
		w := bufio.NewWriter(&b)
		writeHead(w, out, "server")
		_ = w.Flush()
		r := bufio.NewReader(&b)
		got, err := http.ReadRequest(r)
		if err != nil {
			t.Fatalf("%v\n%q", err, raw)
		}
		if r.Buffered() > 0 || b.Len() > 0 {
			t.Errorf("more than one head: %q", raw)
		}
		host := in.Host
		if host == "" {
			host = "server"
		}
		path := in.URL.Path
		if path == "" { // of http://host
			path = "/"
		}
		if got.Method != in.Method || got.URL.Path != path || got.URL.RawQuery != in.URL.RawQuery || got.Host != host ||
			got.ContentLength != out.length() || len(got.Header["Forwarded"]) != 1 {
			t.Errorf("%q\nbecame %+v", raw, got)
		}
	})
}
