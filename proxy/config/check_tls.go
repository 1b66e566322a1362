package config

import (
	"context"
	"crypto/tls"
	"fmt"
	"slices"
	"strings"

	"github.com/seed-e3b9a99f/baton/tlsreload"
)

// ReloadOptions are what the listener's TLS asks of package tlsreload.
func (t *TLS) ReloadOptions() tlsreload.Options {
	files := &tlsreload.Files{}
	for _, c := range t.Certificates {
		files.Certificates = append(files.Certificates, tlsreload.FilePair{Cert: c.Cert, Key: c.Key, Staple: c.Staple})
	}
	o := tlsreload.Options{
		Sources: []tlsreload.Source{files}, StrictSNI: t.StrictSNI, ClientCA: t.ClientCA,
		MinVersion: tlsVersion(t.MinVersion), Interval: t.Interval,
	}
	bundles := []string{t.ClientCA}
	for _, h := range t.Hosts {
		host := tlsreload.Host{
			Names: h.Names, ClientCA: h.ClientCA, MinVersion: max(tlsVersion(h.MinVersion), tlsVersion(t.MinVersion)),
		}
		if host.ClientCA == "" {
			host.ClientCA = t.ClientCA
		}
		bundles = append(bundles, host.ClientCA)
		o.Hosts = append(o.Hosts, host)
	}
	slices.Sort(bundles)
	for _, b := range slices.Compact(bundles) {
		if b != "" {
			files.ClientCAs = append(files.ClientCAs, b)
		}
	}
	return o
}

func tlsVersion(text string) uint16 {
	switch text {
	case "1.3":
		return tls.VersionTLS13
	case "1.2":
		return tls.VersionTLS12
	default:
		return 0
	}
}

// tls reports what keeps a listener's TLS from being served. Nothing that it says quotes a file: it may hold a key.
func (k *checker) tls(ctx context.Context, at string, t *TLS) {
	status, err := tlsreload.Check(ctx, t.ReloadOptions())
	for _, p := range status.Problems {
		k.say(t.place(at, p), "%s: %s", p.Name, p.Text)
	}
	if err != nil && len(status.Problems) == 0 {
		k.say(at, "%v", err)
	}
}

func mentions(text, file string) bool { return file != "" && strings.Contains(text, " "+file+":") }

// place returns the path of the value that a problem is about.
func (t *TLS) place(at string, p tlsreload.Problem) string {
	for i, c := range t.Certificates {
		of := fmt.Sprintf("%s.certificates[%d]", at, i)
		switch {
		case c.Staple != "" && p.Name == c.Cert+" (OCSP staple)":
			return of + ".staple"
		case p.Name == c.Cert && (strings.HasPrefix(p.Text, "key: ") || mentions(p.Text, c.Key)):
			return of + ".key"
		case p.Name == c.Cert && mentions(p.Text, c.Staple):
			return of + ".staple"
		case p.Name == c.Cert:
			return of + ".cert"
		}
	}
	for i, h := range t.Hosts {
		if p.Name == h.ClientCA {
			return fmt.Sprintf("%s.hosts[%d].client_ca", at, i)
		}
	}
	if p.Name == t.ClientCA {
		return at + ".client_ca"
	}
	return at
}
