// Package pebbletest runs Pebble, Let's Encrypt's ACME server for tests, inside a test.
//
//	acme := pebbletest.Start(t)
//	issuer := certmagic.ACMEIssuer{CA: acme.Directory, TrustedRoots: acme.API, AltHTTPPort: acme.HTTPPort}
//
// It validates HTTP-01 challenges on loopback, where each name resolves to. Its certificates are trusted by nobody.
package pebbletest

import (
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
)

// Server is an ACME server.
type Server struct {
	Directory string         // its URL
	API       *x509.CertPool // has who signed the directory's certificate
	APIPEM    []byte         // the same
	Roots     *x509.CertPool // has the root of what is issued
	HTTPPort  int            // where it looks for HTTP-01 challenges
	Listener  net.Listener   // on that port; it is closed with the test at the latest
}

// Start starts one that ends with the test, but for goroutines that wait.
func Start(t *testing.T) *Server {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	port := ln.Addr().(*net.TCPAddr).Port

	silence := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	authority := ca.New(silence, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {Description: "default"}})
	validation := va.New(silence, port, 0, false, resolver(t), store)
	frontend := wfe.New(silence, store, validation, authority, []string{"pebble.test"}, false, false, 1, 1)
	api := httptest.NewUnstartedServer(frontend.Handler())
	api.Config.ErrorLog = silence
	api.StartTLS()
	t.Cleanup(api.Close)

	s := &Server{
		Directory: api.URL + wfe.DirectoryPath, API: x509.NewCertPool(), Roots: x509.NewCertPool(),
		HTTPPort: port, Listener: ln,
	}
	s.API.AddCert(api.Certificate())
	s.APIPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw})
	s.Roots.AddCert(authority.GetRootCert(0).Cert)
	return s
}

// resolver answers 127.0.0.1 to whoever asks for an address, over TCP as Pebble does, and returns its own address.
func resolver(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	answer := func(w dns.ResponseWriter, q *dns.Msg) {
		a := new(dns.Msg).SetReply(q)
		if len(q.Question) == 1 && q.Question[0].Qtype == dns.TypeA {
			header := dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}
			a.Answer = []dns.RR{&dns.A{Hdr: header, A: net.IPv4(127, 0, 0, 1)}}
		}
		if err := w.WriteMsg(a); err != nil && !strings.Contains(err.Error(), "closed") {
			t.Error(err)
		}
	}
	server := &dns.Server{Listener: ln, Handler: dns.HandlerFunc(answer)}
	ended, started := make(chan error, 1), make(chan struct{})
	server.NotifyStartedFunc = func() { close(started) }
	go func() { ended <- server.ActivateAndServe() }()
	select {
	case <-started:
	case err := <-ended:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Shutdown(); err != nil {
			t.Error(err)
		}
		<-ended
	})
	return ln.Addr().String()
}
