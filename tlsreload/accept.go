package tlsreload

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// identity is a certificate that is good to serve. It stays as it is.
type identity struct {
	name      string
	digest    digest
	tls       tls.Certificate // with its Leaf
	staple    stapleInfo
	stapleErr error // why there is none
	fate      *fate
}

// fate is what has become of a certificate since it was first served. Connections that were made with it look it up.
type fate struct {
	replaced atomic.Int64 // when another took its place, in Unix nanoseconds; 0 while it is served
	revoked  atomic.Bool
}

// names are the host names that it serves, in lower case.
func (id *identity) names() []string { return id.tls.Leaf.DNSNames }

// rank puts ECDSA before RSA: where a client takes both, it is what costs less.
func (id *identity) rank() int {
	switch id.tls.Leaf.PublicKey.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return 0
	default:
		return 1
	}
}

// parseCertificate makes an identity of what a source has.
func parseCertificate(c *Certificate, d digest) (*identity, error) {
	if c.Err != nil {
		return nil, c.Err
	}
	id := &identity{name: c.Name, digest: d, fate: new(fate)}
	if c.TLS != nil {
		id.tls = *c.TLS
		id.tls.OCSPStaple = nil
		if len(id.tls.Certificate) == 0 || id.tls.PrivateKey == nil {
			return nil, errors.New("it has no certificate or no key")
		}
	} else {
		var err error
		if id.tls, err = parsePair(c.Chain, c.Key); err != nil {
			return nil, err
		}
	}
	for i, der := range id.tls.Certificate {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of %d in the chain: %w", i+1, len(id.tls.Certificate), err)
		}
		if i == 0 {
			id.tls.Leaf = cert
		}
	}
	if err := usable(id.tls.PrivateKey, id.tls.Leaf); err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	staple := c.Staple
	if c.TLS != nil {
		staple = c.TLS.OCSPStaple
	}
	if len(staple) > 0 {
		id.staple, id.stapleErr = parseStaple(staple, id.tls.Certificate)
		if id.stapleErr == nil {
			id.tls.OCSPStaple = staple
		}
	}
	return id, nil
}

// usable tells why crypto/tls could not serve leaf with key.
func usable(key crypto.PrivateKey, leaf *x509.Certificate) error {
	const leastBits = 1024 // what crypto/rsa signs with
	signer, ok := key.(crypto.Signer)
	if !ok {
		return fmt.Errorf("a %T cannot sign", key)
	}
	if public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(leaf.PublicKey) {
		return errors.New("it is not that of the certificate")
	}
	switch public := leaf.PublicKey.(type) {
	case *ecdsa.PublicKey:
		if c := public.Curve; c != elliptic.P256() && c != elliptic.P384() && c != elliptic.P521() {
			return fmt.Errorf("TLS cannot use curve %s: use P-256", c.Params().Name)
		}
	case *rsa.PublicKey:
		if bits := public.N.BitLen(); bits < leastBits {
			return fmt.Errorf("an RSA key of %d bits is too short: use 2048", bits)
		}
	case ed25519.PublicKey:
	default:
		return fmt.Errorf("TLS cannot use a %T", public)
	}
	return nil
}

// parsePair is tls.X509KeyPair, and stricter: that takes a chain whose end is missing.
func parsePair(chain, key []byte) (tls.Certificate, error) {
	if key == nil {
		key = chain
	}
	types, err := blocks(chain)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate: %w", err)
	}
	if count(types, "CERTIFICATE") == 0 {
		return tls.Certificate{}, errors.New("certificate: there is none in the PEM")
	}
	types, err = blocks(key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("key: %w", err)
	}
	keys := 0
	for _, typ := range types {
		if typ == "ENCRYPTED PRIVATE KEY" {
			return tls.Certificate{}, errors.New("key: it is encrypted; decrypt it, with openssl pkey, and keep others from reading the file")
		}
		if strings.HasSuffix(typ, "PRIVATE KEY") {
			keys++
		}
	}
	if keys != 1 {
		return tls.Certificate{}, fmt.Errorf("key: %d keys in the PEM, where one is expected", keys)
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil && strings.Contains(err.Error(), "private key") {
		err = fmt.Errorf("key: %w", err)
	}
	return pair, err
}

func count(types []string, want string) (n int) {
	for _, typ := range types {
		if typ == want {
			n++
		}
	}
	return n
}

var begin = []byte("-----BEGIN ")

// blocks returns the types of the PEM blocks in b, which has to be whole: encoding/pem skips what it cannot read.
func blocks(b []byte) ([]string, error) {
	begins := bytes.Count(b, begin)
	switch {
	case len(bytes.TrimSpace(b)) == 0:
		return nil, errors.New("it is empty")
	case begins == 0:
		return nil, errors.New("it is no PEM")
	}
	var types []string
	for {
		block, rest := pem.Decode(b)
		if block == nil {
			break
		}
		types = append(types, block.Type)
		b = rest
	}
	if len(types) != begins {
		return nil, fmt.Errorf("%d of %d PEM blocks cannot be read: it is cut short or broken", begins-len(types), begins)
	}
	return types, nil
}

// judge tells what keeps id from taking the place of the one that is served now, which may be nil.
func (r *Reloader) judge(id *identity, now time.Time) error {
	leaf := id.tls.Leaf
	switch {
	case now.After(leaf.NotAfter) && !r.opts.Allow.Expired:
		return fmt.Errorf("it has expired on %s", leaf.NotAfter.Format(time.RFC3339))
	case now.Before(leaf.NotBefore) && !r.opts.Allow.NotYetValid:
		return fmt.Errorf("it is not valid until %s: is the clock right?", leaf.NotBefore.Format(time.RFC3339))
	case r.revoked[leaf.SerialNumber.String()]:
		return fmt.Errorf("it has been revoked (serial %s)", serial(leaf))
	case id.staple.revoked:
		return fmt.Errorf("its OCSP response says that it has been revoked (serial %s)", serial(leaf))
	}
	return nil
}

// authorities is a bundle of client CAs that is good to use.
type authorities struct {
	name   string
	digest digest
	pool   *x509.CertPool
	certs  []*x509.Certificate
}

const maxSubjects = 1<<16 - 3 // in bytes

// parseCAs takes a bundle in which everything can be read. One without a CA would let nobody in, or, as "no CA", anyone.
func parseCAs(ca *ClientCA, d digest) (*authorities, error) {
	if ca.Err != nil {
		return nil, ca.Err
	}
	types, err := blocks(ca.PEM)
	if err != nil {
		return nil, err
	}
	for _, typ := range types {
		if typ != "CERTIFICATE" {
			return nil, fmt.Errorf("a %s is in it, where only certificates are expected", typ)
		}
	}
	a := &authorities{name: ca.Name, digest: d, pool: x509.NewCertPool()}
	rest, subjects := ca.PEM, 0
	for i := range types {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of %d: %w", i+1, len(types), err)
		}
		a.pool.AddCert(cert)
		a.certs = append(a.certs, cert)
		subjects += len(cert.RawSubject) + 2
	}
	// RFC 8446, section 4.2.4: a server names them all to the client.
	if subjects > maxSubjects {
		return nil, fmt.Errorf("the names of its %d CAs have %d bytes, and TLS has room for %d", len(types), subjects, maxSubjects)
	}
	return a, nil
}
