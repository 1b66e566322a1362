// Package testca is a certificate authority for tests.
//
//	ca := testca.New(t, "clients")
//	leaf := ca.Issue(t, testca.Request{Names: []string{"a.test"}})
//	cert, key := leaf.Write(t, t.TempDir())
package testca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

// CA signs certificates.
type CA struct {
	Cert *x509.Certificate
	PEM  []byte
	key  crypto.Signer
}

// serials are unique in the process.
var serials atomic.Int64

// New makes a CA.
func New(t testing.TB, name string) *CA {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serials.Add(1)), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(t, err)
	cert, err := x509.ParseCertificate(der)
	check(t, err)
	return &CA{Cert: cert, PEM: encode("CERTIFICATE", der), key: key}
}

// Pool has the CA alone.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.Cert)
	return pool
}

// Request says what to issue. The zero value is an ECDSA certificate for 127.0.0.1, good from an hour ago until tomorrow.
type Request struct {
	Names               []string
	RSA                 bool
	NotBefore, NotAfter time.Time
	Key                 crypto.Signer // nil makes one
}

// Leaf is a certificate for servers and clients, with its key.
type Leaf struct {
	Cert, Key []byte // PEM
	X509      *x509.Certificate
	TLS       tls.Certificate
}

// Issue signs a certificate.
func (ca *CA) Issue(t testing.TB, r Request) Leaf {
	t.Helper()
	key := r.Key
	var err error
	switch {
	case key != nil:
	case r.RSA:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	check(t, err)
	if r.NotBefore.IsZero() {
		r.NotBefore = time.Now().Add(-time.Hour)
	}
	if r.NotAfter.IsZero() {
		r.NotAfter = time.Now().Add(24 * time.Hour)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serials.Add(1)), Subject: pkix.Name{CommonName: "test"},
		NotBefore: r.NotBefore, NotAfter: r.NotAfter, DNSNames: r.Names,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Cert, key.Public(), ca.key)
	check(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	check(t, err)
	l := Leaf{Cert: encode("CERTIFICATE", der), Key: encode("PRIVATE KEY", keyDER)}
	l.X509, err = x509.ParseCertificate(der)
	check(t, err)
	l.TLS = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: l.X509}
	return l
}

// Staple signs an OCSP response about l: ocsp.Good, ocsp.Revoked or ocsp.Unknown.
func (ca *CA) Staple(t testing.TB, l Leaf, status int, next time.Time) []byte {
	t.Helper()
	der, err := ocsp.CreateResponse(ca.Cert, ca.Cert, ocsp.Response{
		Status: status, SerialNumber: l.X509.SerialNumber, ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: next,
		RevokedAt: time.Now().Add(-time.Minute),
	}, ca.key)
	check(t, err)
	return der
}

// Write writes tls.crt and tls.key into dir, and returns their paths.
func (l Leaf) Write(t testing.TB, dir string) (cert, key string) {
	t.Helper()
	cert, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	check(t, os.WriteFile(cert, l.Cert, 0o600))
	check(t, os.WriteFile(key, l.Key, 0o600))
	return cert, key
}

func encode(typ string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der})
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
