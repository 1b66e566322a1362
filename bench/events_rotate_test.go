package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// pair writes a pair to a folder, for the given names, signed by itself.
func pair(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	config := selfSigned(t)
	cert, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	der, err := x509.MarshalPKCS8PrivateKey(config.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		cert: {Type: "CERTIFICATE", Bytes: config.Certificates[0].Certificate[0]},
		key:  {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// serveFiles serves the pair in the files as load returns it: at each handshake, or what was there when told.
func serveFiles(t *testing.T, current func() (*tls.Certificate, error)) *server {
	t.Helper()
	config := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return current() }}
	return serveEach(t, func(_ *server, c net.Conn, _ int) { tls.Server(c, config).Handshake() })
}

// loads reads a pair. Until both files are of one pair it serves the last good one, as a server should.
func loads(cert, key string) func() (*tls.Certificate, error) {
	var good atomic.Pointer[tls.Certificate]
	return func() (*tls.Certificate, error) {
		if c, err := tls.LoadX509KeyPair(cert, key); err == nil {
			good.Store(&c)
		}
		return good.Load(), nil
	}
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	cert, key := pair(t, dir)
	before, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	s := serveFiles(t, loads(cert, key))
	d, _ := rehearsal(Upgrades{Count: 2, Kinds: []Kind{KindRotate}, Rotation: &Rotation{
		Cert: cert, Key: key, Addr: s.addr(), ServerName: "some.name",
	}})
	if err := d.Upgrades.validate(); err != nil {
		t.Fatal(err)
	}
	var serials []string
	d.report = func(Upgrade) {
		serial, err := d.Rotation.served(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		serials = append(serials, serial.String())
		now, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		if err := now.Leaf.VerifyHostname("some.name"); err != nil {
			t.Error(err)
		}
		if info, err := os.Stat(key); err != nil || info.Mode() != 0o640 {
			t.Errorf("the key has mode %v, %v", info.Mode(), err)
		}
	}
	d.run(t.Context())
	if len(serials) != 2 || serials[0] == serials[1] || serials[0] == "1" || serials[1] == "1" {
		t.Errorf("serial numbers %v", serials)
	}
	for i, e := range d.events() {
		if u := d.finished[i]; u.Error != "" || e.Effective <= 0 || u.Serving != 0 {
			t.Errorf("event %+v beside %+v", e, u)
		}
	}
	if text := d.events()[0].String(); !strings.Contains(text, "new certificate served after") {
		t.Error(text)
	}
	if after, err := os.ReadFile(cert); err != nil || string(after) != string(before) {
		t.Errorf("the certificate is not back: %q, %v", after, err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 2 {
		t.Errorf("left: %v", left)
	}
}

// A server that reads its files when told is told, and once more when they are back.
func TestRotationTellsTheServer(t *testing.T) {
	cert, key := pair(t, t.TempDir())
	load := loads(cert, key)
	var serves atomic.Pointer[tls.Certificate]
	told := 0
	tell := func(context.Context) error {
		c, err := load()
		serves.Store(c)
		told++
		return err
	}
	tell(t.Context())
	s := serveFiles(t, func() (*tls.Certificate, error) { return serves.Load(), nil })
	d, _ := rehearsal(Upgrades{Count: 1, Kinds: []Kind{KindRotate}, Rotation: &Rotation{
		Cert: cert, Key: key, Addr: s.addr(), Trigger: tell,
	}})
	d.run(t.Context())
	if len(d.finished) != 1 || d.finished[0].Error != "" || told != 3 {
		t.Errorf("%+v, told %d times, want 3", d.finished, told)
	}
	if serial, err := d.Rotation.served(t.Context()); err != nil || serial.Int64() != 1 {
		t.Errorf("after the run it serves serial number %v, %v", serial, err)
	}
}

func TestRotationsThatFail(t *testing.T) {
	cert, key := pair(t, t.TempDir())
	before, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	s := serveFiles(t, func() (*tls.Certificate, error) { return &before, nil })
	silent := serveEach(t, func(s *server, _ net.Conn, _ int) { <-s.quit })
	for _, c := range []struct {
		want, addr string
		trigger    Trigger
	}{
		{s.addr() + " serves the one with serial number 1; if the server does not look at", s.addr(), nil},
		{"does not answer", silent.addr(), nil},
		{"tell the server: no such process", s.addr(), func(context.Context) error { return errors.New("no such process") }},
	} {
		d, _ := rehearsal(Upgrades{Count: 1, Timeout: 100 * time.Millisecond, Kinds: []Kind{KindRotate}, Rotation: &Rotation{
			Cert: cert, Key: key, Addr: c.addr, Trigger: c.trigger,
		}})
		d.run(t.Context())
		if len(d.finished) != 1 || !strings.Contains(d.finished[0].Error, c.want) {
			t.Errorf("%+v, want %q", d.finished, c.want)
		}
		if now, err := tls.LoadX509KeyPair(cert, key); err != nil || now.Leaf.SerialNumber.Int64() != 1 {
			t.Errorf("the pair is not back: %v", err)
		}
	}
}

// A CA's certificate comes with the new one, which verifies against it. The names are those of the present one.
func TestRotationByACA(t *testing.T) {
	dir := t.TempDir()
	cert, key := pair(t, dir)
	r := &Rotation{Cert: cert, Key: key, Addr: "127.0.0.1:1"}
	_, ca, err := r.issue()
	if err != nil {
		t.Fatal(err)
	}
	r.CACert, r.CAKey = filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key")
	for file, text := range map[string][]byte{r.CACert: ca.cert, r.CAKey: ca.key} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.validate(); err == nil || !strings.Contains(err.Error(), "it is no CA's certificate") {
		t.Errorf("a leaf that signs: %v", err)
	}
	newCA(t, r.CACert, r.CAKey)
	serial, made, err := r.issue()
	if err != nil {
		t.Fatal(err)
	}
	got, err := tls.X509KeyPair(made.cert, made.key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	text, err := os.ReadFile(r.CACert)
	if err != nil {
		t.Fatal(err)
	}
	roots.AppendCertsFromPEM(text)
	if _, err := got.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "127.0.0.1"}); err != nil {
		t.Error(err)
	}
	if len(got.Certificate) != 2 || got.Leaf.SerialNumber.Cmp(serial) != 0 {
		t.Errorf("a chain of %d, serial number %v, want %v", len(got.Certificate), got.Leaf.SerialNumber, serial)
	}
	for _, files := range [][2]string{{key, key}, {filepath.Join(dir, "none"), key}} {
		r := &Rotation{Cert: files[0], Key: files[1], Addr: "127.0.0.1:1"}
		if err := r.validate(); err == nil || strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("%v: %v", files, err)
		}
	}
}

// newCA writes a CA's pair.
func newCA(t *testing.T, cert, key string) {
	t.Helper()
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "a CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
