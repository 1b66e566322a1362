package tlsreload

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-e3b9a99f/baton/internal/testca"
)

// issued writes certificates into folders of their own, and returns the source that has them.
func issued(t testing.TB, ca *testca.CA, requests ...testca.Request) (*Files, []testca.Leaf) {
	t.Helper()
	f := &Files{}
	var leaves []testca.Leaf
	for _, q := range requests {
		leaf := ca.Issue(t, q)
		cert, key := leaf.Write(t, t.TempDir())
		f.Certificates = append(f.Certificates, FilePair{Cert: cert, Key: key})
		leaves = append(leaves, leaf)
	}
	return f, leaves
}

func TestChoice(t *testing.T) {
	ca := testca.New(t, "ca")
	files, leaves := issued(t, ca,
		testca.Request{Names: []string{"first.test"}, RSA: true},
		testca.Request{Names: []string{"first.test"}},
		testca.Request{Names: []string{"*.wild.test"}},
		testca.Request{Names: []string{"a.wild.test", "UPPER.test"}},
		testca.Request{Names: []string{"rsa.wild.test"}, RSA: true},
	)
	rsaOnly := []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
	ecdsaOnly := []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
	const refused = -1
	for _, strict := range []bool{false, true} {
		r, _ := opened(t, Options{Sources: []Source{files}, StrictSNI: strict})
		address := serve(t, r.Config())
		for _, test := range []struct {
			name         string
			ciphers      []uint16 // of TLS 1.2
			want, strict int
		}{
			{"first.test", nil, 1, 1}, // ECDSA before RSA
			{"first.test", rsaOnly, 0, 0},
			{"first.test", ecdsaOnly, 1, 1},
			{"a.wild.test", nil, 3, 3}, // exact before wildcard
			{"A.Wild.Test", nil, 3, 3},
			{"b.wild.test", nil, 2, 2},
			{"upper.test", nil, 3, 3},
			{"rsa.wild.test", nil, 4, 4},
			{"rsa.wild.test", ecdsaOnly, 2, 2}, // the exact one cannot be used
			{"a.b.wild.test", nil, 1, refused}, // an asterisk is one label
			{"wild.test", nil, 1, refused},
			{"other.test", nil, 1, refused},
			{"other.test", rsaOnly, 0, refused},
			{"", nil, 1, refused},
		} {
			want := test.want
			if strict {
				want = test.strict
			}
			t.Run(fmt.Sprintf("%s %v strict=%t", test.name, test.ciphers, strict), func(t *testing.T) {
				config := &tls.Config{InsecureSkipVerify: true, ServerName: test.name}
				if test.ciphers != nil {
					config.MaxVersion, config.CipherSuites = tls.VersionTLS12, test.ciphers
				}
				if test.name == "" {
					config.ServerName = "127.0.0.1" // which is not sent
				}
				state, err := dial(address, config)
				if want == refused {
					if err == nil || !strings.Contains(err.Error(), "unrecognized name") {
						t.Errorf("%v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if !state.PeerCertificates[0].Equal(leaves[want].X509) {
					t.Errorf("got %v (%v)", state.PeerCertificates[0].DNSNames, state.PeerCertificates[0].PublicKeyAlgorithm)
				}
			})
		}
	}
}

// Everything else is crypto/tls's default: TLS 1.2 and 1.3, and post-quantum key exchange.
func TestDefaults(t *testing.T) {
	files, _ := issued(t, testca.New(t, "ca"), testca.Request{Names: []string{"a.test"}})
	r, _ := opened(t, Options{Sources: []Source{files}, Hosts: []Host{{Names: []string{"new.test"}, MinVersion: tls.VersionTLS13}}})
	address := serve(t, r.Config("mqtt"))
	state, err := dial(address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"x", "mqtt"}})
	if err != nil || state.Version != tls.VersionTLS13 || state.NegotiatedProtocol != "mqtt" || state.CurveID != tls.X25519MLKEM768 {
		t.Errorf("%v: %x %s %v", err, state.Version, state.NegotiatedProtocol, state.CurveID)
	}
	old := &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, ServerName: "a.test"}
	if state, err := dial(address, old); err != nil || state.Version != tls.VersionTLS12 {
		t.Errorf("TLS 1.2: %v", err)
	}
	old.ServerName = "new.test"
	if _, err := dial(address, old); err == nil {
		t.Error("TLS 1.2 where 1.3 is the minimum")
	}
	old.MaxVersion = tls.VersionTLS11
	old.ServerName, old.MinVersion = "a.test", tls.VersionTLS10
	if _, err := dial(address, old); err == nil {
		t.Error("TLS 1.1 by default")
	}
}

// A client of a CA that was removed is refused at its next connection, also with a session that it could resume.
func TestRemovedClientCA(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			server, stays, goes := testca.New(t, "server"), testca.New(t, "stays"), testca.New(t, "goes")
			files, _ := issued(t, server, testca.Request{Names: []string{"a.test"}})
			bundle := filepath.Join(t.TempDir(), "ca.pem")
			write(t, bundle, append([]byte("# both\n"), append(stays.PEM, goes.PEM...)...))
			files.ClientCAs = []string{bundle}
			r, _ := opened(t, Options{Sources: []Source{files}, ClientCA: bundle})
			address := serve(t, r.Config())
			client := func(ca *testca.CA) *tls.Config {
				return &tls.Config{
					RootCAs: server.Pool(), ServerName: "a.test", MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(4),
					Certificates: []tls.Certificate{ca.Issue(t, testca.Request{}).TLS},
				}
			}
			good, bad := client(stays), client(goes)
			for _, c := range []*tls.Config{good, bad, good, bad} {
				if _, err := dial(address, c); err != nil {
					t.Fatal(err)
				}
			}
			if h := r.Status().Handshakes; h.Full != 2 || h.Resumed != 2 {
				t.Errorf("%+v", h)
			}
			write(t, bundle, stays.PEM)
			if err := r.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := dial(address, bad); err == nil {
				t.Error("a client of the removed CA was let in")
			}
			if _, err := dial(address, good); err != nil {
				t.Error(err)
			}
			if _, err := dial(address, &tls.Config{RootCAs: server.Pool(), ServerName: "a.test"}); err == nil {
				t.Error("a client without a certificate was let in")
			}
		})
	}
}

// A session of a name that lets everybody in must not be one of a name that asks for a certificate (CVE-2025-23419).
func TestHostsDoNotShareSessions(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			ca, clients := testca.New(t, "ca"), testca.New(t, "clients")
			files, _ := issued(t, ca, testca.Request{Names: []string{"open.test", "closed.test"}})
			bundle := filepath.Join(t.TempDir(), "ca.pem")
			write(t, bundle, clients.PEM)
			files.ClientCAs = []string{bundle}
			r, _ := opened(t, Options{Sources: []Source{files}, Hosts: []Host{{Names: []string{"closed.test"}, ClientCA: bundle}}})
			address := serve(t, r.Config())
			cache := oneSession{cache: tls.NewLRUClientSessionCache(1)}
			client := &tls.Config{RootCAs: ca.Pool(), MaxVersion: version, ServerName: "open.test", ClientSessionCache: cache}
			for range 2 {
				if _, err := dial(address, client); err != nil {
					t.Fatal(err)
				}
			}
			if r.Status().Handshakes.Resumed != 1 {
				t.Error("it did not resume where it may")
			}
			client.ServerName = "closed.test"
			if _, err := dial(address, client); err == nil {
				t.Error("let in by the session of another name")
			}
		})
	}
}

// oneSession offers its session to every server.
type oneSession struct{ cache tls.ClientSessionCache }

func (c oneSession) Get(string) (*tls.ClientSessionState, bool) { return c.cache.Get("") }
func (c oneSession) Put(_ string, s *tls.ClientSessionState)    { c.cache.Put("", s) }

func TestClientCAsThatAreRefused(t *testing.T) {
	ca, clients := testca.New(t, "ca"), testca.New(t, "clients")
	leaf := clients.Issue(t, testca.Request{})
	files, _ := issued(t, ca, testca.Request{})
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	write(t, bundle, clients.PEM)
	files.ClientCAs = []string{bundle}
	r, _ := opened(t, Options{Sources: []Source{files}, ClientCA: bundle})
	address := serve(t, r.Config())
	config := &tls.Config{RootCAs: ca.Pool(), ServerName: "127.0.0.1", Certificates: []tls.Certificate{leaf.TLS}}
	for name, pem := range map[string]string{
		"it is empty":                   "",
		"it is no PEM":                  "hello",
		"1 of 2 PEM blocks cannot be":   string(clients.PEM) + string(ca.PEM[:len(ca.PEM)/2]),
		"certificate 1 of 1: x509":      "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		"a PRIVATE KEY is in it, where": string(clients.PEM) + string(leaf.Key),
	} {
		write(t, bundle, []byte(pem))
		if err := r.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %q", err, name)
		}
		if _, err := dial(address, config); err != nil {
			t.Errorf("after %s: %v", name, err)
		}
	}
	missing := Options{Sources: []Source{&Files{Certificates: files.Certificates}}, ClientCA: "other.pem"}
	if _, err := Check(t.Context(), missing); err == nil || !strings.Contains(err.Error(), "client CAs other.pem: no source has them") {
		t.Errorf("%v", err)
	}
}

func TestBaseIsKept(t *testing.T) {
	files, _ := issued(t, testca.New(t, "ca"), testca.Request{})
	verified := 0
	base := &tls.Config{
		MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true, ClientAuth: tls.RequireAnyClientCert, ClientCAs: x509.NewCertPool(),
		VerifyConnection: func(tls.ConnectionState) error { verified++; return nil },
	}
	r, _ := opened(t, Options{Sources: []Source{files}, Base: base})
	address := serve(t, r.Config())
	if _, err := dial(address, &tls.Config{InsecureSkipVerify: true}); err != nil {
		t.Error(err)
	}
	if verified != 1 {
		t.Errorf("VerifyConnection was called %d times", verified)
	}
	if _, err := dial(address, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}); err == nil {
		t.Error("MinVersion was lost")
	}
}
