// Certmagic serves a greeting over HTTPS, with certificates that it gets by ACME.
//
//	certmagic -domains www.example.com -email you@example.com
//
// It listens on -http for the HTTP-01 challenge, which the ACME server sends to port 80, and on -https.
package main

import (
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/seed-e3b9a99f/baton/examples/certmagic/acmesource"
	"github.com/seed-e3b9a99f/baton/tlsreload"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "certmagic:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, stderr io.Writer) error {
	flags := flag.NewFlagSet("certmagic", flag.ContinueOnError)
	flags.SetOutput(stderr)
	domains := flags.String("domains", "", "names to serve, with commas between")
	email := flags.String("email", "", "where the ACME server writes to")
	server := flags.String("ca", certmagic.LetsEncryptStagingCA,
		"the ACME server's directory; nobody trusts the certificates of the default")
	roots := flags.String("ca-roots", "", "a file with who signed that server's own certificate, if it is a private one")
	storage := flags.String("storage", "certificates", "the folder to keep certificates in")
	httpAddress := flags.String("http", ":80", "where to answer challenges")
	httpsAddress := flags.String("https", ":443", "where to serve")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *domains == "" {
		return errors.New("-domains is empty: name what to serve")
	}
	names := strings.Split(*domains, ",")
	log := slog.New(slog.NewTextHandler(stderr, nil))

	trusted, err := pool(*roots)
	if err != nil {
		return err
	}
	plain, err := net.Listen("tcp", *httpAddress)
	if err != nil {
		return err
	}
	defer plain.Close()
	secure, err := net.Listen("tcp", *httpsAddress)
	if err != nil {
		return err
	}
	defer secure.Close()

	var config *certmagic.Config
	cache := certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return config, nil },
	})
	defer cache.Stop()
	config = certmagic.New(cache, certmagic.Config{Storage: &certmagic.FileStorage{Path: *storage}})
	host, port, err := hostPort(plain)
	if err != nil {
		return err
	}
	issuer := certmagic.NewACMEIssuer(config, certmagic.ACMEIssuer{
		CA: *server, TrustedRoots: trusted, Email: *email, Agreed: true, DisableTLSALPNChallenge: true,
		// certmagic finds the port taken, by this server, and leaves the answer to it.
		ListenHost: host, AltHTTPPort: port,
	})
	config.Issuers = []certmagic.Issuer{issuer}
	source := acmesource.New(config, names...)

	challenges := &http.Server{
		Handler: issuer.HTTPChallengeHandler(http.HandlerFunc(redirect)), ReadHeaderTimeout: 10 * time.Second,
	}
	failed := make(chan error, 2)
	go func() { failed <- challenges.Serve(plain) }()
	defer challenges.Close()

	if err := config.ManageSync(ctx, names); err != nil {
		return fmt.Errorf("obtain certificates: %w", err)
	}
	certs, err := tlsreload.New(ctx, tlsreload.Options{Sources: []tlsreload.Source{source}, StrictSNI: true, Logger: log})
	if err != nil {
		return err
	}
	defer certs.Close()

	srv := &http.Server{Handler: http.HandlerFunc(greet), ReadHeaderTimeout: 10 * time.Second}
	certs.Attach(srv)
	go func() { failed <- srv.ServeTLS(secure, "", "") }()
	log.Info("serving", "address", secure.Addr().String())
	select {
	case err := <-failed:
		srv.Close()
		return err
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return srv.Shutdown(ending)
}

func greet(w http.ResponseWriter, req *http.Request) {
	fmt.Fprintf(w, "hello from %s\n", req.Host)
}

func redirect(w http.ResponseWriter, req *http.Request) {
	host := req.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	http.Redirect(w, req, "https://"+host+req.URL.RequestURI(), http.StatusMovedPermanently)
}

// pool returns nil, the system's, for no path.
func pool(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("read %s: no certificate in it", path)
	}
	return p, nil
}

// hostPort returns where ln listens; the host is empty where that is everywhere.
func hostPort(ln net.Listener) (host string, port int, err error) {
	host, number, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		return "", 0, err
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = ""
	}
	port, err = strconv.Atoi(number)
	return host, port, err
}
