package bench

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Rotation replaces the server's certificate by a new one with the same names and another serial number, and waits until
// that is served. At the end of the run the files that were there are put back, and Trigger is called once more.
//
// Each of the two files is replaced by rename, the key first, so for a moment they do not belong together: that is what
// certificate managers do too. Symbolic links stay, and what they point to is replaced.
type Rotation struct {
	Cert, Key string // the files that the server reads (PEM)
	Addr      string // host:port where it serves TLS
	// ServerName is sent by SNI; the host of Addr if empty. It is also the new certificate's name where the present one
	// has none.
	ServerName string
	// CACert and CAKey sign the new certificates, and CACert is added to Cert as the chain. Both empty: self-signed.
	CACert, CAKey string
	// Trigger tells the server; nil for one that looks at its files by itself.
	Trigger Trigger

	kept []keepsake
}

// certificateLife is how long the new certificates are valid. They go away at the end of the run.
const certificateLife = 24 * time.Hour

// servedPoll is how often a TLS handshake looks whether the new certificate is served, and so how exact that time is.
const servedPoll = 10 * time.Millisecond

func (r *Rotation) validate() error {
	switch {
	case r.Cert == "" || r.Key == "" || r.Addr == "":
		return errors.New("rotate: give the certificate's file, its key's, and the address that serves them")
	case (r.CACert == "") != (r.CAKey == ""):
		return errors.New("rotate: give the CA's certificate and its key, or none of them for self-signed ones")
	}
	if _, _, err := r.issue(); err != nil {
		return fmt.Errorf("rotate: %w", err)
	}
	return nil
}

// rotate puts a new pair in place and waits until it is served.
func (d *driver) rotate(ctx context.Context, e *Event) Upgrade {
	serial, pair, err := d.Rotation.issue()
	if err != nil {
		return d.failed(e.Number, fmt.Errorf("rotate: %w", err))
	}
	if err := d.Rotation.keep(); err != nil {
		return d.failed(e.Number, fmt.Errorf("rotate: %w", err))
	}
	u, begun := d.begin(e.Number)
	defer d.end()
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	if err := d.Rotation.write(pair); err != nil {
		u.Error = fmt.Sprintf("rotate: %v", err)
		return u
	}
	if tell := d.Rotation.Trigger; tell != nil {
		if err := tell(ctx); err != nil {
			u.Error = fmt.Sprintf("rotate: tell the server: %v", err)
			return u
		}
	}
	u.Triggered = max(ms(time.Since(begun)), minMS)
	if err := d.Rotation.await(ctx, serial); err != nil {
		u.Error = fmt.Sprintf("rotate: the new certificate was not served within %v: %v; if the server does not look at %s "+
			"by itself, say how to tell it", d.Timeout, err, d.Rotation.Cert)
		return u
	}
	e.Effective = max(ms(time.Since(begun)), minMS)
	return u
}

// unrotate puts the files back that were there before the first rotation. It has no run's context: that may be over.
func (d *driver) unrotate() {
	r := d.Rotation
	if len(r.kept) == 0 {
		return
	}
	var err error
	for _, k := range r.kept {
		err = errors.Join(err, k.putBack())
	}
	r.kept = nil
	if r.Trigger != nil {
		ctx, cancel := context.WithTimeout(context.Background(), d.Timeout)
		defer cancel()
		err = errors.Join(err, r.Trigger(ctx))
	}
	if err == nil || len(d.finished) == 0 {
		return
	}
	last := &d.finished[len(d.finished)-1]
	if last.Error == "" {
		last.Error = fmt.Sprintf("after the run: %v", err)
		d.tell(*last)
	}
}

// certPair is a certificate with its chain, and its key, in PEM.
type certPair struct{ cert, key []byte }

// issue makes a new pair for the names of the certificate that is there now.
func (r *Rotation) issue() (*big.Int, certPair, error) {
	fail := func(err error) (*big.Int, certPair, error) { return nil, certPair{}, err }
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fail(err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)) // at most 20 octets, RFC 5280, 4.1.2.2
	if err != nil {
		return fail(err)
	}
	template, err := r.template()
	if err != nil {
		return fail(err)
	}
	template.SerialNumber = serial
	issuer, signer := template, crypto.Signer(key)
	var chain []byte
	if r.CACert != "" {
		ca, err := tls.LoadX509KeyPair(r.CACert, r.CAKey)
		if err != nil {
			return fail(fmt.Errorf("CA: %w", err))
		}
		ok := false
		if signer, ok = ca.PrivateKey.(crypto.Signer); !ok || !ca.Leaf.IsCA {
			return fail(fmt.Errorf("CA: %s cannot sign: it is no CA's certificate", r.CACert))
		}
		issuer = ca.Leaf
		for _, der := range ca.Certificate {
			chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), signer)
	if err != nil {
		return fail(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fail(err)
	}
	return serial, certPair{
		cert: append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), chain...),
		key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
	}, nil
}

// template is the present certificate's subject and names, for now and a while.
func (r *Rotation) template() (*x509.Certificate, error) {
	text, err := os.ReadFile(r.Cert)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s does not begin with a certificate (PEM)", r.Cert)
	}
	now, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.Cert, err)
	}
	t := &x509.Certificate{
		Subject: now.Subject, DNSNames: now.DNSNames, IPAddresses: now.IPAddresses, URIs: now.URIs,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(certificateLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if len(t.DNSNames)+len(t.IPAddresses) == 0 {
		name := r.serverName()
		if ip := net.ParseIP(name); ip != nil {
			t.IPAddresses = []net.IP{ip}
		} else {
			t.DNSNames = []string{name}
		}
	}
	if t.Subject.String() == "" {
		t.Subject = pkix.Name{CommonName: "baton bench"}
	}
	return t, nil
}

func (r *Rotation) serverName() string {
	if r.ServerName != "" {
		return r.ServerName
	}
	host, _, err := net.SplitHostPort(r.Addr)
	if err != nil {
		return r.Addr
	}
	return host
}

// keep gives the two files a second name, at the first rotation.
func (r *Rotation) keep() error {
	if len(r.kept) > 0 {
		return nil
	}
	for _, path := range []string{r.Key, r.Cert} {
		path, err := filepath.EvalSymlinks(path)
		if err != nil {
			return err
		}
		k, err := keep(path)
		if err != nil {
			for _, k := range r.kept {
				err = errors.Join(err, k.putBack())
			}
			r.kept = nil
			return err
		}
		r.kept = append(r.kept, k)
	}
	return nil
}

func (r *Rotation) write(pair certPair) error {
	for i, content := range [][]byte{pair.key, pair.cert} {
		// The server may have no more of its key than its group's right to read it.
		info, err := os.Stat(r.kept[i].kept)
		if err != nil {
			return err
		}
		if err := replace(r.kept[i].path, info.Mode().Perm(), info, bytes.NewReader(content)); err != nil {
			return err
		}
	}
	return nil
}

// await returns when a new connection gets the certificate with the serial number, or the reason at the end of ctx.
func (r *Rotation) await(ctx context.Context, serial *big.Int) error {
	why := fmt.Errorf("TLS to %s does not answer", r.Addr)
	for {
		got, err := r.served(ctx)
		var netErr net.Error
		switch {
		case errors.As(err, &netErr) && netErr.Timeout(): // mostly ctx's own, which says nothing about the server
		case err != nil:
			why = fmt.Errorf("TLS to %s: %w", r.Addr, err)
		case got.Cmp(serial) == 0:
			return nil
		default:
			why = fmt.Errorf("%s serves the one with serial number %x", r.Addr, got)
		}
		if !sleepUntil(ctx, time.Now().Add(servedPoll)) {
			return why
		}
	}
}

// served returns the serial number that a full handshake shows. A resumed one would show the old certificate.
func (r *Rotation) served(ctx context.Context) (*big.Int, error) {
	dialer := tls.Dialer{
		NetDialer: &net.Dialer{Timeout: probeTimeout},
		Config:    &tls.Config{ServerName: r.serverName(), InsecureSkipVerify: true},
	}
	c, err := dialer.DialContext(ctx, "tcp", r.Addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber, nil
}
