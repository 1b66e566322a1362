package tlsreload

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/internal/testca"
)

// attached serves r by net/http, and returns its address.
func attached(t *testing.T, r *Reloader) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })}
	r.Attach(srv)
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.ServeTLS(ln, "", "") }()
	t.Cleanup(func() { srv.Close(); <-done })
	return ln.Addr().String()
}

// visitor is a client whose connections are counted.
type visitor struct {
	http.Client
	dials int
}

func visit(t *testing.T, address string, config *tls.Config, h2 bool) *visitor {
	t.Helper()
	v := &visitor{}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: h2}
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		v.dials++
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	v.Transport = transport
	t.Cleanup(transport.CloseIdleConnections)
	return v
}

func (v *visitor) get(t *testing.T, host string) *http.Response {
	t.Helper()
	resp, err := v.Get("https://" + host + "/")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp
}

func TestConnectionsOnAnOldCertificate(t *testing.T) {
	for name, h2 := range map[string]bool{"HTTP/1": false, "HTTP/2": true} {
		for _, test := range []struct {
			name   string
			maxAge time.Duration
			revoke bool
			dials  int
		}{{"live on", 0, false, 1}, {"within their age", time.Hour, false, 1}, {"end at their age", time.Nanosecond, false, 2}, {"end when revoked", 0, true, 2}} {
			t.Run(name+" "+test.name, func(t *testing.T) {
				ca := testca.New(t, "ca")
				first := ca.Issue(t, testca.Request{Names: []string{"a.test"}})
				dir := t.TempDir()
				cert, key := first.Write(t, dir)
				r, _ := opened(t, Options{Sources: Pair(cert, key), MaxAge: test.maxAge})
				config := &tls.Config{RootCAs: ca.Pool(), ClientSessionCache: tls.NewLRUClientSessionCache(4)}
				v := visit(t, attached(t, r), config, h2)
				v.get(t, "a.test")
				v.get(t, "a.test")
				if test.revoke {
					if err := r.Revoke(first.X509.SerialNumber); err == nil {
						t.Error("no word that the certificate is still served")
					}
					v.get(t, "a.test")
				}
				if v.dials != 1 {
					t.Fatalf("%d connections before the change", v.dials)
				}
				second := ca.Issue(t, testca.Request{Names: []string{"a.test"}})
				second.Write(t, dir)
				if err := r.Reload(t.Context()); err != nil {
					t.Fatal(err)
				}
				var last *http.Response
				for range 3 { // the first tells the client to go
					last = v.get(t, "a.test")
				}
				if v.dials != test.dials {
					t.Errorf("%d connections, want %d", v.dials, test.dials)
				}
				if test.revoke && (last.TLS.DidResume || !last.TLS.PeerCertificates[0].Equal(second.X509)) {
					t.Error("it resumed a session of the revoked certificate")
				}
				if test.revoke {
					first.Write(t, dir)
					if err := r.Reload(t.Context()); err == nil {
						t.Error("the revoked certificate was taken again")
					}
				}
			})
		}
	}
}

// A connection that one host let in is not one to another, which asks for a certificate.
func TestMisdirectedRequest(t *testing.T) {
	ca, clients := testca.New(t, "ca"), testca.New(t, "clients")
	files, _ := issued(t, ca, testca.Request{Names: []string{"open.test", "also.test", "closed.test"}})
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	write(t, bundle, clients.PEM)
	files.ClientCAs = []string{bundle}
	r, _ := opened(t, Options{Sources: []Source{files}, Hosts: []Host{{Names: []string{"closed.test"}, ClientCA: bundle}}})
	v := visit(t, attached(t, r), &tls.Config{RootCAs: ca.Pool(), ServerName: "open.test"}, true)
	for host, want := range map[string]int{"open.test": 200, "also.test": 200, "closed.test": 421, "CLOSED.test:443": 421, "closed.test.": 421} {
		if resp := v.get(t, host); resp.StatusCode != want {
			t.Errorf("%s: %s, want %d", host, resp.Status, want)
		}
	}
}
