package acmesource

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/seed-e3b9a99f/baton/examples/certmagic/internal/pebbletest"
	"github.com/seed-e3b9a99f/baton/tlsreload"
)

// magic returns a certmagic that gets its certificates from server, and answers its challenges.
func magic(t *testing.T, server *pebbletest.Server) *certmagic.Config {
	t.Helper()
	var config *certmagic.Config
	cache := certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return config, nil },
		Logger:           zap.NewNop(),
	})
	t.Cleanup(cache.Stop)
	config = certmagic.New(cache, certmagic.Config{
		Storage: &certmagic.FileStorage{Path: t.TempDir()}, Logger: zap.NewNop(),
	})
	issuer := certmagic.NewACMEIssuer(config, certmagic.ACMEIssuer{
		CA: server.Directory, TrustedRoots: server.API, Agreed: true, Email: "test@baton.test",
		DisableTLSALPNChallenge: true, ListenHost: "127.0.0.1", AltHTTPPort: server.HTTPPort, Logger: zap.NewNop(),
	})
	config.Issuers = []certmagic.Issuer{issuer}
	challenges := &http.Server{Handler: issuer.HTTPChallengeHandler(http.NotFoundHandler()), ReadHeaderTimeout: time.Second}
	ended := make(chan error, 1)
	go func() { ended <- challenges.Serve(server.Listener) }()
	t.Cleanup(func() { challenges.Close(); <-ended })
	return config
}

// serve answers handshakes until the test ends.
func serve(t *testing.T, config *tls.Config) (address string) {
	t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(10 * time.Second))
			_, _ = c.Write([]byte{'!'})
			c.Close()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-ended })
	return ln.Addr().String()
}

// serial makes a connection that trusts nothing but client's roots, and returns what it was shown.
func serial(address string, client *tls.Config) (*big.Int, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	c, err := tls.DialWithDialer(&d, "tcp", address, client)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, err := c.Read(make([]byte, 1)); err != nil {
		return nil, err
	}
	return c.ConnectionState().PeerCertificates[0].SerialNumber, nil
}

func TestRenewalIsServedWithoutAFailedHandshake(t *testing.T) {
	const domain = "www.baton.test"
	acme := pebbletest.Start(t)
	config := magic(t, acme)
	var events []string
	config.OnEvent = func(_ context.Context, event string, _ map[string]any) error {
		events = append(events, event)
		return nil
	}
	source := New(config, domain)
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
	defer cancel()
	if c, err := source.Load(ctx); err != nil || c.Certificates[0].Err == nil {
		t.Errorf("%v; before it is obtained: %v", err, c.Certificates[0].Err)
	}
	if err := config.ManageSync(ctx, []string{domain}); err != nil {
		t.Fatal(err)
	}
	certs, err := tlsreload.New(ctx, tlsreload.Options{
		Sources:   []tlsreload.Source{source},
		StrictSNI: true,
		Interval:  time.Hour, // the event has to be what wakes it
		Logger:    slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer certs.Close()
	address := serve(t, certs.Config())
	client := &tls.Config{RootCAs: acme.Roots, ServerName: domain}
	first, err := serial(address, client)
	if err != nil {
		t.Fatal(err)
	}

	renewed := make(chan error, 1)
	go func() { renewed <- config.RenewCertSync(ctx, domain, true) }()
	handshakes, last := 0, first
	for last.Cmp(first) == 0 && ctx.Err() == nil {
		if last, err = serial(address, client); err != nil {
			t.Fatalf("handshake %d: %v", handshakes, err)
		}
		handshakes++
	}
	if err := <-renewed; err != nil {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Fatal("the new certificate was not served")
	}
	if s := certs.Status(); s.Generation != 2 || s.Certificates[0].Name != domain {
		t.Errorf("%+v", s)
	}
	if n := slices.Index(events, "cert_obtained"); n < 0 {
		t.Errorf("OnEvent of before was lost: %q", events)
	}
	t.Logf("%d handshakes until the new certificate was served", handshakes)
}

// storage has what a test gives it.
type storage struct {
	certmagic.Storage
	files map[string]string
	err   error
}

func (s storage) Load(_ context.Context, key string) ([]byte, error) {
	if s.err != nil {
		return nil, s.err
	}
	text, ok := s.files[key]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return []byte(text), nil
}

type issuer struct {
	certmagic.Issuer
	key string
}

func (i issuer) IssuerKey() string { return i.key }

func TestAStorageThatFailsIsTold(t *testing.T) {
	down := errors.New("the storage is down")
	s := New(&certmagic.Config{Storage: storage{err: down}, Issuers: []certmagic.Issuer{issuer{key: "a"}}}, "a.test")
	c, err := s.Load(t.Context())
	if err != nil || len(c.Certificates) != 1 || !errors.Is(c.Certificates[0].Err, down) {
		t.Errorf("%v, %+v", err, c)
	}
}

func TestTheIssuerThatHasIt(t *testing.T) {
	keys := certmagic.StorageKeys
	s := New(&certmagic.Config{
		Storage: storage{files: map[string]string{
			keys.SiteCert("b", "a.test"): "cert", keys.SitePrivateKey("b", "a.test"): "key",
		}},
		Issuers: []certmagic.Issuer{issuer{key: "a"}, issuer{key: "b"}},
	}, "a.test", "b.test")
	c, err := s.Load(t.Context())
	if err != nil || len(c.Certificates) != 2 {
		t.Fatalf("%v, %+v", err, c)
	}
	if a := c.Certificates[0]; string(a.Chain) != "cert" || string(a.Key) != "key" {
		t.Errorf("%+v", a)
	}
	if err := c.Certificates[1].Err; err == nil || !strings.Contains(err.Error(), "no certificate for b.test yet") {
		t.Errorf("%v", err)
	}
}
