package tlsreload

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ocsp"

	"github.com/seed-e3b9a99f/baton/internal/testca"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// journal is a log that a test reads.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// open returns a Reloader that never polls by itself, and its log.
func opened(t testing.TB, opts Options) (*Reloader, *journal) {
	t.Helper()
	j := &journal{}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.NewTextHandler(j, nil))
	}
	if opts.Interval == 0 {
		opts.Interval = time.Hour
	}
	r, err := New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, j
}

// unseen hides that a source tells of changes: only the test looks at it.
type unseen struct{ Source }

// serve answers one byte to every client of config, until the test ends.
func serve(t testing.TB, config *tls.Config) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(10 * time.Second))
				s := tls.Server(c, config)
				if s.Handshake() == nil {
					_, _ = s.Write([]byte{'!'})
					_ = s.CloseWrite()
					_, _ = s.Read(make([]byte, 1))
				}
			})
		}
	})
	t.Cleanup(func() { ln.Close(); conns.Wait() })
	return ln.Addr().String()
}

// dial makes one connection, reads the byte (and with it the session tickets), and returns what was agreed on.
func dial(address string, config *tls.Config) (tls.ConnectionState, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	c, err := tls.DialWithDialer(&d, "tcp", address, config)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if n, err := c.Read(make([]byte, 1)); n == 0 {
		return tls.ConnectionState{}, err
	}
	return c.ConnectionState(), nil
}

// served returns the serial that a client gets.
func served(t testing.TB, address string, config *tls.Config) string {
	t.Helper()
	state, err := dial(address, config)
	if err != nil {
		t.Fatal(err)
	}
	return serial(state.PeerCertificates[0])
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestReloadServesTheNewCertificate(t *testing.T) {
	ca := testca.New(t, "ca")
	first, second := ca.Issue(t, testca.Request{Names: []string{"a.test"}}), ca.Issue(t, testca.Request{Names: []string{"a.test"}})
	dir := t.TempDir()
	cert, key := first.Write(t, dir)
	var told []uint64
	r, j := opened(t, Options{Sources: []Source{unseen{Pair(cert, key)[0]}}, After: func(old, new Status) { told = append(told, old.Generation, new.Generation) }})
	address := serve(t, r.Config())
	client := &tls.Config{RootCAs: ca.Pool(), ServerName: "a.test"}
	if got := served(t, address, client); got != serial(first.X509) {
		t.Errorf("serial %s, want the first", got)
	}
	second.Write(t, dir)
	if err := r.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := served(t, address, client); got != serial(second.X509) {
		t.Errorf("serial %s, want the second", got)
	}
	s := r.Status()
	if s.Generation != 2 || s.Reloads.Changed != 2 || len(s.Problems) != 0 || s.Certificates[0].Serial != serial(second.X509) || s.Handshakes.Full != 2 {
		t.Errorf("%+v", s)
	}
	if len(told) != 2 || told[0] != 1 || told[1] != 2 {
		t.Errorf("After was told %v", told)
	}
	if strings.Contains(j.String(), "PRIVATE") || strings.Contains(j.String(), "BEGIN") {
		t.Errorf("secrets in the log:\n%s", j)
	}
}

// A new chain under the same leaf is a change, and not a new certificate.
func TestReloadSeesTheChain(t *testing.T) {
	ca := testca.New(t, "ca")
	leaf := ca.Issue(t, testca.Request{})
	dir := t.TempDir()
	cert, key := leaf.Write(t, dir)
	r, _ := opened(t, Options{Sources: Pair(cert, key)})
	first := r.current.Load().certs[0]
	address := serve(t, r.Config())
	write(t, cert, append(bytes.Clone(leaf.Cert), ca.PEM...))
	if err := r.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	state, err := dial(address, &tls.Config{RootCAs: ca.Pool(), ServerName: "127.0.0.1"})
	if err != nil || len(state.PeerCertificates) != 2 {
		t.Errorf("%d certificates, %v", len(state.PeerCertificates), err)
	}
	if first.fate.replaced.Load() != 0 {
		t.Error("the leaf counts as replaced")
	}
}

func TestRefusals(t *testing.T) {
	ca := testca.New(t, "ca")
	names := []string{"a.test", "b.test"}
	good := ca.Issue(t, testca.Request{Names: names})
	other := ca.Issue(t, testca.Request{Names: names})
	expired := ca.Issue(t, testca.Request{Names: names, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)})
	future := ca.Issue(t, testca.Request{Names: names, NotBefore: time.Now().Add(time.Hour), NotAfter: time.Now().Add(2 * time.Hour)})
	fewer := ca.Issue(t, testca.Request{Names: names[:1]})
	wild := ca.Issue(t, testca.Request{Names: []string{"*.test"}})
	encrypted := bytes.ReplaceAll(other.Key, []byte("PRIVATE KEY"), []byte("ENCRYPTED PRIVATE KEY"))
	chain := append(bytes.Clone(other.Cert), ca.PEM...)
	for name, test := range map[string]struct {
		cert, key []byte
		allow     Allow
		want      string // "" is served
	}{
		"good":                     {other.Cert, other.Key, Allow{}, ""},
		"mismatch":                 {other.Cert, good.Key, Allow{}, "private key does not match"},
		"truncated":                {other.Cert[:len(other.Cert)/2], other.Key, Allow{}, "cut short"},
		"truncated chain":          {chain[:len(chain)-40], other.Key, Allow{}, "1 of 2 PEM blocks"},
		"truncated key":            {other.Cert, other.Key[:len(other.Key)/2], Allow{}, "cut short"},
		"empty":                    {nil, other.Key, Allow{}, "it is empty"},
		"empty key":                {other.Cert, []byte("\n"), Allow{}, "it is empty"},
		"garbage":                  {[]byte("garbage"), other.Key, Allow{}, "it is no PEM"},
		"two keys":                 {other.Cert, append(bytes.Clone(other.Key), good.Key...), Allow{}, "2 keys"},
		"the key as certificate":   {other.Key, other.Key, Allow{}, "there is none"},
		"encrypted":                {other.Cert, encrypted, Allow{}, "encrypted; decrypt it"},
		"expired":                  {expired.Cert, expired.Key, Allow{}, "it has expired on"},
		"expired, allowed":         {expired.Cert, expired.Key, Allow{Expired: true}, ""},
		"not yet valid":            {future.Cert, future.Key, Allow{}, "it is not valid until"},
		"not yet valid, allowed":   {future.Cert, future.Key, Allow{NotYetValid: true}, ""},
		"a lost name":              {fewer.Cert, fewer.Key, Allow{}, "it does not have b.test"},
		"a lost name, allowed":     {fewer.Cert, fewer.Key, Allow{LostNames: true}, ""},
		"a wildcard for two names": {wild.Cert, wild.Key, Allow{}, ""},
		"too large":                {bytes.Repeat([]byte{'x'}, maxFile+1), other.Key, Allow{}, "more than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cert, key := good.Write(t, t.TempDir())
			r, j := opened(t, Options{Sources: Pair(cert, key), Allow: test.allow})
			address := serve(t, r.Config())
			write(t, cert, test.cert)
			write(t, key, test.key)
			err := r.Reload(t.Context())
			state, dialErr := dial(address, &tls.Config{InsecureSkipVerify: true, ServerName: "a.test"})
			if dialErr != nil {
				t.Fatal(dialErr)
			}
			kept := state.PeerCertificates[0].Equal(good.X509)
			if test.want == "" {
				if err != nil || kept {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) || !kept {
				t.Errorf("%v, want %q and the old one kept (%t)", err, test.want, kept)
			}
			problems := r.Status().Problems
			if len(problems) != 1 || problems[0].Name != cert || !strings.Contains(problems[0].Text, test.want) {
				t.Errorf("status has %+v", problems)
			}
			for range 3 {
				_ = r.Reload(t.Context())
			}
			if n := strings.Count(j.String(), "refused"); n != 1 {
				t.Errorf("logged %d times:\n%s", n, j)
			}
			if strings.Contains(j.String(), "BEGIN") {
				t.Errorf("PEM in the log:\n%s", j)
			}
			write(t, cert, other.Cert)
			write(t, key, other.Key)
			if err := r.Reload(t.Context()); err != nil || len(r.Status().Problems) != 0 || !strings.Contains(j.String(), "good again") {
				t.Errorf("after it was mended: %v, %+v\n%s", err, r.Status().Problems, j)
			}
		})
	}
}

func TestOneBadCertificateDoesNotHoldUpTheOthers(t *testing.T) {
	ca := testca.New(t, "ca")
	dirA, dirB := t.TempDir(), t.TempDir()
	certA, keyA := ca.Issue(t, testca.Request{Names: []string{"a.test"}}).Write(t, dirA)
	certB, keyB := ca.Issue(t, testca.Request{Names: []string{"b.test"}}).Write(t, dirB)
	r, _ := opened(t, Options{Sources: []Source{&Files{Certificates: []FilePair{{Cert: certA, Key: keyA}, {Cert: certB, Key: keyB}}}}})
	address := serve(t, r.Config())
	write(t, certA, []byte("garbage"))
	newB := ca.Issue(t, testca.Request{Names: []string{"b.test"}})
	newB.Write(t, dirB)
	if err := r.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), certA) {
		t.Errorf("%v", err)
	}
	if got := served(t, address, &tls.Config{RootCAs: ca.Pool(), ServerName: "b.test"}); got != serial(newB.X509) {
		t.Error("b.test has its old certificate")
	}
	if got := served(t, address, &tls.Config{RootCAs: ca.Pool(), ServerName: "a.test"}); got == "" {
		t.Error("a.test has none")
	}
}

// changing is a Source that a test sets.
type changing struct {
	mu sync.Mutex
	Contents
}

func (c *changing) Load(context.Context) (Contents, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Contents, nil
}

func (c *changing) set(certs ...tls.Certificate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Certificates = nil
	for i := range certs {
		c.Certificates = append(c.Certificates, Certificate{Name: serial(certs[i].Leaf), TLS: &certs[i]})
	}
}

func TestSourceOfParsedCertificates(t *testing.T) {
	ca := testca.New(t, "ca")
	a, b := ca.Issue(t, testca.Request{Names: []string{"a.test"}}), ca.Issue(t, testca.Request{Names: []string{"b.test"}})
	source := &changing{}
	source.set(a.TLS, b.TLS)
	r, _ := opened(t, Options{Sources: []Source{source}, Allow: Allow{LostNames: true}})
	address := serve(t, r.Config())
	client := &tls.Config{InsecureSkipVerify: true, ServerName: "other.test"}
	if got := served(t, address, client); got != serial(a.X509) {
		t.Error("the first one is not the default")
	}
	source.set(b.TLS, a.TLS)
	if err := r.Reload(t.Context()); err != nil || served(t, address, client) != serial(b.X509) {
		t.Errorf("the order has changed, and what is served has not: %v", err)
	}
	mixed := ca.Issue(t, testca.Request{}).TLS
	mixed.PrivateKey = b.TLS.PrivateKey
	weak, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	broken := ca.Issue(t, testca.Request{})
	broken.TLS.Certificate = append(broken.TLS.Certificate, []byte("no certificate"))
	for want, cert := range map[string]tls.Certificate{
		"it is not that of the certificate":      mixed,
		"TLS cannot use curve P-224":             ca.Issue(t, testca.Request{Key: weak}).TLS,
		"certificate 2 of 2 in the chain: x509:": broken.TLS,
	} {
		source.set(b.TLS, cert)
		if err := r.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	source.set()
	if err := r.Reload(t.Context()); err == nil || served(t, address, client) == "" {
		t.Errorf("the last certificate is gone, and nobody objects: %v", err)
	}
}

func TestStartTellsAllProblems(t *testing.T) {
	ca := testca.New(t, "ca")
	dir := t.TempDir()
	cert, key := ca.Issue(t, testca.Request{}).Write(t, dir)
	write(t, key, []byte("x"))
	files := &Files{
		Certificates: []FilePair{{Cert: cert, Key: key}, {Cert: filepath.Join(dir, "none")}},
		ClientCAs:    []string{filepath.Join(dir, "ca.pem")},
	}
	_, err := New(t.Context(), Options{Sources: []Source{files}, Logger: slog.New(slog.DiscardHandler)})
	for _, want := range []string{cert + ": key: it is no PEM", "none: ", "ca.pem: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if !errors.Is(err, os.ErrNotExist) {
		t.Error("its cause cannot be told")
	}
	if _, err := Check(t.Context(), Options{Sources: []Source{files}}); err == nil {
		t.Error("Check has no objection")
	}
	if _, err := New(t.Context(), Options{}); err == nil {
		t.Error("no sources, and no error")
	}
}

func TestStartWaits(t *testing.T) {
	ca := testca.New(t, "ca")
	dir := filepath.Join(t.TempDir(), "later")
	j := &journal{}
	opts := Options{
		Sources: Pair(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")), Wait: true,
		Logger: slog.New(slog.NewTextHandler(j, nil)),
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := New(short, opts); !errors.Is(err, os.ErrNotExist) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waited: %v", err)
	}
	started := make(chan *Reloader)
	go func() {
		r, err := New(t.Context(), opts)
		if err != nil {
			t.Error(err)
		}
		started <- r
	}()
	for !strings.Contains(j.String(), "refused") { // it says what it waits for
		time.Sleep(10 * time.Millisecond)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	ca.Issue(t, testca.Request{}).Write(t, dir)
	if r := <-started; r != nil {
		r.Close()
	}
}

func TestVeto(t *testing.T) {
	ca := testca.New(t, "ca")
	first, second := ca.Issue(t, testca.Request{}), ca.Issue(t, testca.Request{})
	dir := t.TempDir()
	cert, key := first.Write(t, dir)
	veto := errors.New("not on a Friday")
	var asked Status
	r, _ := opened(t, Options{Sources: []Source{unseen{Pair(cert, key)[0]}}, Before: func(_, new Status) error { asked = new; return veto }})
	second.Write(t, dir)
	if err := r.Reload(t.Context()); !errors.Is(err, veto) {
		t.Errorf("%v", err)
	}
	if asked.Certificates[0].Serial != serial(second.X509) || r.Status().Certificates[0].Serial != serial(first.X509) {
		t.Error("the veto did not hold, or was asked about something else")
	}
	veto = nil
	if err := r.Reload(t.Context()); err != nil || r.Status().Certificates[0].Serial != serial(second.X509) {
		t.Errorf("%v", err)
	}
}

func TestStaple(t *testing.T) {
	ca := testca.New(t, "ca")
	leaf := ca.Issue(t, testca.Request{})
	leaf.Cert = append(leaf.Cert, ca.PEM...)
	dir := t.TempDir()
	cert, key := leaf.Write(t, dir)
	staple := filepath.Join(dir, "staple")
	good := ca.Staple(t, leaf, ocsp.Good, time.Now().Add(time.Hour))
	write(t, staple, good)
	r, _ := opened(t, Options{Sources: []Source{&Files{Certificates: []FilePair{{Cert: cert, Key: key, Staple: staple}}}}})
	address := serve(t, r.Config())
	stapled := func() []byte {
		t.Helper()
		state, err := dial(address, &tls.Config{RootCAs: ca.Pool(), ServerName: "127.0.0.1"})
		if err != nil {
			t.Fatal(err)
		}
		return state.OCSPResponse
	}
	if !bytes.Equal(stapled(), good) {
		t.Error("no staple")
	}
	write(t, staple, []byte("garbage"))
	if err := r.Reload(t.Context()); err != nil || !bytes.Equal(stapled(), good) || len(r.Status().Problems) != 1 {
		t.Errorf("%v; with a broken one, the last good one is to be sent: %+v", err, r.Status().Problems)
	}
	renewed := ca.Issue(t, testca.Request{})
	renewed.Cert = append(renewed.Cert, ca.PEM...)
	renewed.Write(t, dir)
	write(t, staple, good) // of the one before
	if err := r.Reload(t.Context()); err != nil || stapled() != nil {
		t.Errorf("%v; a staple of another certificate was sent", err)
	}
	write(t, staple, ca.Staple(t, renewed, ocsp.Good, time.Now().Add(-time.Minute)))
	if err := r.Reload(t.Context()); err != nil || stapled() != nil {
		t.Errorf("%v; a staple that is out of date was sent", err)
	}
}
