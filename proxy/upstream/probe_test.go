package upstream

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	proxyproto "github.com/pires/go-proxyproto"
	"go.uber.org/goleak"

	"github.com/seed-e3b9a99f/baton/proxy/config"
)

// check asks a server at an address once, as an upstream with this configuration would.
func check(t *testing.T, address string, cfg config.Upstream) error {
	t.Helper()
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	cfg.Servers = []string{address}
	p, err := newPool("app", cfg, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p.ask(t.Context(), p.servers[0])
}

// wantError fails the test unless the error has these words; none means no error.
func wantError(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil && len(words) > 0 {
		t.Fatalf("no error, want %q", words)
	}
	if err != nil && len(words) == 0 {
		t.Fatal(err)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Fatalf("%v, want %q", err, word)
		}
	}
}

// listen returns a listener, and serves each of its connections with a function that need not close it.
func listen(t *testing.T, network, address string, serve func(net.Conn)) net.Listener {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			serve(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		<-done
	})
	return ln
}

// closed returns an address at which nobody listens.
func closed(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func TestConnectCheck(t *testing.T) {
	cfg := config.Upstream{Health: &config.Health{}}
	ln := listen(t, "tcp", "127.0.0.1:0", func(net.Conn) {})
	wantError(t, check(t, ln.Addr().String(), cfg))
	wantError(t, check(t, closed(t), cfg), "refused")

	path := filepath.Join(t.TempDir(), "s")
	wantError(t, check(t, "unix:"+path, cfg), "dial unix "+path)
	listen(t, "unix", path, func(net.Conn) {})
	wantError(t, check(t, "unix:"+path, cfg))

	cfg.Health.Timeout = time.Nanosecond
	wantError(t, check(t, ln.Addr().String(), cfg), "no answer within 1ns")
}

func TestGetCheck(t *testing.T) {
	var asked *http.Request
	status := http.StatusOK
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.Clone(context.Background())
		w.Header().Set("Location", "/elsewhere") // must not be followed
		w.WriteHeader(status)
		if status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified {
			io.WriteString(w, strings.Repeat("body", 100_000)) // is not read
		}
	}))
	defer srv.Close()
	address := srv.Listener.Addr().String()

	for _, c := range []struct {
		status, want int
		words        []string
	}{
		{200, 0, nil}, {204, 0, nil}, {302, 0, nil}, {399, 0, nil}, {200, 200, nil}, {503, 503, nil},
		{400, 0, []string{"GET /healthz?full=1: status 400, not one of 200 to 399"}},
		{503, 0, []string{"status 503"}},
		{204, 200, []string{"GET /healthz?full=1: status 204, not 200"}},
	} {
		status = c.status
		health := &config.Health{Path: "/healthz?full=1", Status: c.want}
		wantError(t, check(t, address, config.Upstream{Health: health}), c.words...)
		if asked.URL.String() != "/healthz?full=1" || asked.Host != address || asked.ProtoMajor != 1 || asked.Method != "GET" {
			t.Errorf("asked %s %s of %s in %s", asked.Method, asked.URL, asked.Host, asked.Proto)
		}
	}
	status = 200
	wantError(t, check(t, address, config.Upstream{Health: &config.Health{Path: "/", Host: "app.example.com"}}))
	if asked.Host != "app.example.com" {
		t.Errorf("asked %s", asked.Host)
	}
	wantError(t, check(t, address, config.Upstream{Health: &config.Health{Path: "/"}, Protocol: "h2c"}), "GET /: ")
}

func TestGetCheckByHTTP2(t *testing.T) {
	var asked *http.Request
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.Clone(context.Background())
	}))
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	defer srv.Close()
	cfg := config.Upstream{Health: &config.Health{Path: "/healthz", Host: "app.example.com"}, Protocol: "h2c"}
	for range 3 {
		wantError(t, check(t, srv.Listener.Addr().String(), cfg))
	}
	if asked.ProtoMajor != 2 || asked.Host != "app.example.com" || asked.URL.Path != "/healthz" {
		t.Errorf("asked %s of %s in %s", asked.URL, asked.Host, asked.Proto)
	}
}

func TestGetCheckOverUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	hosts := make(chan string, 1)
	listen(t, "unix", path, func(conn net.Conn) {
		req, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			t.Error(err)
			return
		}
		hosts <- req.Host
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	})
	wantError(t, check(t, "unix:"+path, config.Upstream{Health: &config.Health{Path: "/"}}))
	if host := <-hosts; host != "localhost" {
		t.Errorf("Host: %s", host)
	}
}

// Servers that are ill in every way a socket can be: none is well, and no check hangs.
func TestGetCheckOfIllServers(t *testing.T) {
	const never = "no answer within 50ms"
	cfg := config.Upstream{Health: &config.Health{Path: "/"}}
	wantError(t, check(t, closed(t), cfg), "refused")
	for name, c := range map[string]struct {
		serve func(net.Conn)
		words []string
	}{
		"silent":  {func(conn net.Conn) { io.Copy(io.Discard, conn) }, []string{never, "GET /: "}},
		"closing": {func(conn net.Conn) { bufio.NewReader(conn).ReadString('\n') }, []string{"GET /: "}},
		"reset": {func(conn net.Conn) {
			bufio.NewReader(conn).ReadString('\n')
			conn.(*net.TCPConn).SetLinger(0)
		}, []string{"GET /: "}},
		"garbage": {func(conn net.Conn) {
			io.WriteString(conn, "-ERR what do you want\r\n")
			io.Copy(io.Discard, conn)
		}, []string{"GET /: malformed HTTP"}},
		"early": {func(conn net.Conn) {
			io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 Service Unavailable\r\n\r\n")
			io.Copy(io.Discard, conn)
		}, []string{"GET /: status 503"}},
		"half a head": {func(conn net.Conn) {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Le")
			io.Copy(io.Discard, conn)
		}, []string{never}},
		"endless head": {func(conn net.Conn) {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
			for {
				if _, err := io.WriteString(conn, "X: "+strings.Repeat("x", 1000)+"\r\n"); err != nil {
					return
				}
			}
		}, []string{"GET /: unexpected EOF"}}, // the end of what we read of it
	} {
		t.Run(name, func(t *testing.T) {
			ln := listen(t, "tcp", "127.0.0.1:0", c.serve)
			cfg.Health.Timeout = time.Minute
			if c.words[0] == never {
				cfg.Health.Timeout = 50 * time.Millisecond
			}
			wantError(t, check(t, ln.Addr().String(), cfg), c.words...)
		})
	}
}

// Servers that expect a PROXY header get one from checks too, or would refuse them.
func TestChecksSendProxyHeader(t *testing.T) {
	for version := 1; version <= 2; version++ {
		headers := make(chan *proxyproto.Header, 1)
		ln := listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
			r := bufio.NewReader(conn)
			header, err := proxyproto.Read(r)
			if err != nil {
				t.Errorf("version %d: %v", version, err)
			}
			headers <- header
			if _, err := http.ReadRequest(r); err == nil {
				io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			}
		})
		for _, path := range []string{"", "/"} {
			cfg := config.Upstream{Health: &config.Health{Path: path}, ProxyProtocol: version}
			wantError(t, check(t, ln.Addr().String(), cfg))
			if h := <-headers; h == nil || int(h.Version) != version || h.TransportProtocol != proxyproto.UNSPEC {
				t.Errorf("version %d: %+v", version, h)
			}
		}
	}
}

func TestHostOfAnyInterface(t *testing.T) {
	s, err := newServer(":9000")
	if err != nil {
		t.Fatal(err)
	}
	if got := hostFor(config.Health{}, s); got != "localhost:9000" {
		t.Errorf("Host: %s", got)
	}
}

// The whole: a server that goes away and comes back, with real sockets and a real clock.
func TestChecksOfARealServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s") // nobody else takes it in between, as they might take a port
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	changes := make(chan string, 8)
	p, err := New("app", config.Upstream{
		Servers: []string{"unix:" + path},
		Health:  &config.Health{Interval: 5 * time.Millisecond, Fall: 2, Rise: 2},
	}, Options{Logger: slog.New(&journal{each: changes})})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	pick(t, p).Release()
	ln.Close()
	if line := <-changes; !strings.Contains(line, "up>down: checks failed in a row: 2") {
		t.Fatal(line)
	}
	if _, err := p.Pick(anyone, nil); err == nil || !strings.Contains(err.Error(), "of 1, 1 down") {
		t.Fatal(err)
	}
	listen(t, "unix", path, func(net.Conn) {})
	if line := <-changes; !strings.Contains(line, "down>up: checks succeeded in a row: 2") {
		t.Fatal(line)
	}
	pick(t, p).Release()
}
