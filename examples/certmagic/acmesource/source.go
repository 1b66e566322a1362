// Package acmesource gives tlsreload the certificates that certmagic obtains by ACME (RFC 8555) and renews.
//
//	config := certmagic.New(cache, certmagic.Config{Storage: storage})
//	...                                        // its issuers
//	source := acmesource.New(config, "www.example.com")
//	err := config.ManageSync(ctx, []string{"www.example.com"})
//	...
//	certs, err := tlsreload.New(ctx, tlsreload.Options{Sources: []tlsreload.Source{source}})
//
// # Model
//
// What is read is certmagic's storage, and not its cache: so a renewal by another instance that shares the storage is
// found too, by the next poll, and one by this process wakes the poll at once. certmagic writes a certificate and its
// key one after the other; the Reloader takes them when they fit and two reads agree.
//
// # Limits
//
// OCSP staples are not taken over, and challenges of the kind TLS-ALPN-01 have to be answered on a listener apart.
package acmesource

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"

	"github.com/caddyserver/certmagic"

	"github.com/seed-e3b9a99f/baton/tlsreload"
)

// Source is a tlsreload.Watcher. It serves one Reloader.
type Source struct {
	config   *certmagic.Config
	domains  []string
	obtained chan struct{}
}

// New returns the certificates that config manages for domains, each called as its domain. It wraps config.OnEvent, and
// so has to be called before config manages anything. Loading fails until certmagic has obtained them: ManageSync waits
// for that, or tlsreload.Options.Wait does.
func New(config *certmagic.Config, domains ...string) *Source {
	s := &Source{config: config, domains: domains, obtained: make(chan struct{}, 1)}
	next := config.OnEvent
	config.OnEvent = func(ctx context.Context, event string, data map[string]any) error {
		if event == "cert_obtained" { // it is in the storage by now
			select {
			case s.obtained <- struct{}{}:
			default:
			}
		}
		if next != nil {
			return next(ctx, event, data)
		}
		return nil
	}
	return s
}

// Load reads the storage.
func (s *Source) Load(ctx context.Context) (tlsreload.Contents, error) {
	var c tlsreload.Contents
	for _, domain := range s.domains {
		if err := ctx.Err(); err != nil {
			return tlsreload.Contents{}, err
		}
		c.Certificates = append(c.Certificates, s.certificate(ctx, domain))
	}
	return c, nil
}

// Watch calls changed when a certificate was obtained or renewed by this process.
func (s *Source) Watch(ctx context.Context, changed func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.obtained:
			changed()
		}
	}
}

// certificate returns the newest that any issuer has given for domain.
func (s *Source) certificate(ctx context.Context, domain string) tlsreload.Certificate {
	newest := tlsreload.Certificate{Name: domain}
	var begins int64
	var failures []error
	for _, issuer := range s.config.Issuers {
		chain, key, err := s.load(ctx, issuer.IssuerKey(), domain)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			failures = append(failures, err)
			continue
		}
		if from := notBefore(chain); newest.Chain == nil || from > begins {
			newest.Chain, newest.Key, begins = chain, key, from
		}
	}
	switch {
	case newest.Chain != nil:
	case len(failures) > 0:
		newest.Err = errors.Join(failures...)
	default:
		newest.Err = fmt.Errorf("certmagic has no certificate for %s yet: its log says what keeps it", domain)
	}
	return newest
}

func (s *Source) load(ctx context.Context, issuer, domain string) (chain, key []byte, err error) {
	chain, err = s.config.Storage.Load(ctx, certmagic.StorageKeys.SiteCert(issuer, domain))
	if err != nil {
		return nil, nil, fmt.Errorf("load certificate of %s: %w", domain, err)
	}
	key, err = s.config.Storage.Load(ctx, certmagic.StorageKeys.SitePrivateKey(issuer, domain))
	if err != nil {
		return nil, nil, fmt.Errorf("load key of %s: %w", domain, err)
	}
	return chain, key, nil
}

// notBefore is in Unix seconds, and 0 for what is no certificate: the Reloader says so.
func notBefore(chain []byte) int64 {
	block, _ := pem.Decode(chain)
	if block == nil {
		return 0
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return 0
	}
	return leaf.NotBefore.Unix()
}
