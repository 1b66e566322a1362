package tlsreload

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/seed-e3b9a99f/baton/internal/testca"
)

// Whatever stands in the files: no panic, no key in an error, and what is accepted can be served.
func FuzzCertificate(f *testing.F) {
	ca := testca.New(f, "ca")
	garbled := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("no certificate")})
	for _, r := range fuzzRequests(f) {
		leaf := ca.Issue(f, r)
		chain := append(bytes.Clone(leaf.Cert), ca.PEM...)
		f.Add(leaf.Cert, leaf.Key, []byte(nil))
		f.Add(chain, leaf.Key, ca.Staple(f, leaf, ocsp.Good, time.Now().Add(time.Hour)))
		f.Add(append(bytes.Clone(leaf.Key), chain...), []byte(nil), ca.Staple(f, leaf, ocsp.Revoked, time.Time{}))
		f.Add(chain, leaf.Key, ca.Staple(f, leaf, ocsp.Unknown, time.Time{}))
		f.Add(chain, leaf.Key, []byte("no staple"))
		f.Add(append(bytes.Clone(chain), garbled...), leaf.Key, []byte(nil))
		f.Add(append(bytes.Clone(garbled), chain...), leaf.Key, []byte(nil))
		f.Add(leaf.Key, leaf.Cert, []byte(nil))
		encrypted := bytes.ReplaceAll(leaf.Key, []byte("PRIVATE"), []byte("ENCRYPTED PRIVATE"))
		f.Add(leaf.Cert, encrypted, []byte(nil))
		f.Add(chain[:len(chain)-40], leaf.Key[:len(leaf.Key)-10], []byte(nil))
		f.Add(crlf(chain), leaf.Key, []byte(nil))
		f.Add(leaf.Cert, append(bytes.Clone(leaf.Key), leaf.Key...), []byte(nil))
	}
	f.Fuzz(func(t *testing.T, chain, key, staple []byte) {
		c := &Certificate{Name: "fuzz", Chain: chain, Key: key, Staple: staple}
		id, err := parseCertificate(c, c.digest())
		if len(key) == 0 {
			key = chain
		}
		if err != nil {
			if id != nil {
				t.Error("an error, and a certificate")
			}
			wantNoSecret(t, err, key)
			return
		}
		if id.stapleErr != nil {
			wantNoSecret(t, id.stapleErr, key)
		}
		pair, err := tls.X509KeyPair(chain, key)
		if err != nil {
			t.Fatalf("crypto/tls does not take it: %v", err)
		}
		if len(pair.Certificate) != len(id.tls.Certificate) || !pair.Leaf.Equal(id.tls.Leaf) {
			t.Fatal("crypto/tls reads another certificate")
		}
		state, err := shake(&tls.Config{Certificates: []tls.Certificate{id.tls}})
		if err != nil {
			t.Fatalf("it cannot be served: %v", err)
		}
		if !state.PeerCertificates[0].Equal(id.tls.Leaf) || !bytes.Equal(state.OCSPResponse, id.tls.OCSPStaple) {
			t.Error("something else is served")
		}
		if len(staple) > 0 && (id.stapleErr == nil) != (len(id.tls.OCSPStaple) > 0) {
			t.Errorf("the staple is served with the error %v", id.stapleErr)
		}
	})
}

// crlf is a PEM as some editors save it.
func crlf(text []byte) []byte {
	return append([]byte("# a comment\r\n"), bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))...)
}

// fuzzRequests are certificates of every kind of key.
func fuzzRequests(f *testing.F) []testca.Request {
	var requests []testca.Request
	for _, curve := range []elliptic.Curve{elliptic.P224(), elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			f.Fatal(err)
		}
		requests = append(requests, testca.Request{Names: []string{"a.test"}, Key: key})
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		f.Fatal(err)
	}
	return append(requests, testca.Request{Key: edwards}, testca.Request{Key: small})
}

// A bundle that is accepted is whole: each of its blocks is trusted then, and clients can be asked for it.
func FuzzClientCAs(f *testing.F) {
	a, b := testca.New(f, "a"), testca.New(f, "b")
	leaf := a.Issue(f, testca.Request{})
	both := append(bytes.Clone(a.PEM), b.PEM...)
	for _, text := range [][]byte{
		nil, []byte("\n"), []byte("no PEM"), a.PEM, both, both[:len(both)-30], leaf.Cert, leaf.Key,
		append(bytes.Clone(both), leaf.Key...), append(bytes.Clone(a.PEM), leaf.Cert...), append(bytes.Clone(a.PEM), a.PEM...),
		crlf(both),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Headers: map[string]string{"a": "b"}, Bytes: a.Cert.Raw}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: append(bytes.Clone(a.Cert.Raw), b.Cert.Raw...)}),
		pem.EncodeToMemory(&pem.Block{Type: "TRUSTED CERTIFICATE", Bytes: a.Cert.Raw}),
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		ca := &ClientCA{Name: "fuzz", PEM: text}
		bundle, err := parseCAs(ca, ca.digest())
		if err != nil {
			if bundle != nil {
				t.Error("an error, and a bundle")
			}
			wantNoSecret(t, err, text)
			return
		}
		want := x509.NewCertPool()
		for _, c := range bundle.certs {
			want.AddCert(c)
		}
		if begins := bytes.Count(text, begin); len(bundle.certs) != begins || begins == 0 {
			t.Errorf("%d CAs of %d blocks", len(bundle.certs), begins)
		}
		if !bundle.pool.Equal(want) {
			t.Error("the pool is not what was read")
		}
		if !bytes.Contains(text, []byte(":")) { // crypto/x509 skips blocks with headers
			std := x509.NewCertPool()
			if !std.AppendCertsFromPEM(text) || !std.Equal(want) {
				t.Error("crypto/x509 reads other CAs")
			}
		}
		server := &tls.Config{
			Certificates: []tls.Certificate{leaf.TLS}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: bundle.pool,
		}
		if _, err := shake(server); err != nil {
			t.Errorf("clients cannot be asked for it: %v", err)
		}
	})
}

const base64Chars = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// wantNoSecret fails where an error quotes 16 characters in a row of a key's base64: they may end in a log.
func wantNoSecret(t *testing.T, err error, key []byte) {
	t.Helper()
	const window = 16
	text := err.Error()
	whole := strings.NewReplacer("\n", "", "\r", "", " ", "", "\t", "").Replace(string(key))
	for i := 0; i+window <= len(text); i++ {
		part := text[i : i+window]
		if strings.Trim(part, base64Chars) == "" && strings.Contains(whole, part) {
			t.Fatalf("%q of the key is in the error: %v", part, err)
		}
	}
}

// shake has a client that trusts everybody make a connection, in memory.
func shake(server *tls.Config) (tls.ConnectionState, error) {
	a, b := net.Pipe()
	defer b.Close()
	deadline := time.Now().Add(5 * time.Second)
	_ = a.SetDeadline(deadline)
	_ = b.SetDeadline(deadline)
	config := server.Clone()
	config.SessionTicketsDisabled = true // they are sent to a client that does not read
	served := make(chan error, 1)
	go func() {
		err := tls.Server(a, config).Handshake()
		a.Close()
		served <- err
	}()
	client := tls.Client(b, &tls.Config{InsecureSkipVerify: true, ServerName: "a.test"})
	err := client.Handshake()
	if err != nil {
		b.Close()
	}
	return client.ConnectionState(), errors.Join(err, <-served)
}
