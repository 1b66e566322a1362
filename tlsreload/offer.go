package tlsreload

import (
	"crypto/sha256"
	"encoding/binary"
	"iter"
)

// kind is what a source can have.
type kind string

const (
	certificate kind = "certificate"
	clientCAs   kind = "client CAs"
)

// slot is what something is known by, in all sources.
type slot struct {
	kind kind
	name string
}

// offer is what a source has for a slot: one of both.
type offer struct {
	cert     *Certificate
	ca       *ClientCA
	digest   digest
	unsteady bool // a second look has found something else
}

// offers returns the certificates, and then the client CAs, in their order.
func (c *Contents) offers() iter.Seq2[slot, *offer] {
	return func(yield func(slot, *offer) bool) {
		for i := range c.Certificates {
			cert := &c.Certificates[i]
			if !yield(slot{certificate, cert.Name}, &offer{cert: cert, digest: cert.digest()}) {
				return
			}
		}
		for i := range c.ClientCAs {
			ca := &c.ClientCAs[i]
			if !yield(slot{clientCAs, ca.Name}, &offer{ca: ca, digest: ca.digest()}) {
				return
			}
		}
	}
}

// digest identifies contents.
type digest [sha256.Size]byte

func digestOf(parts ...[]byte) digest {
	h := sha256.New()
	var n [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write(p)
	}
	return digest(h.Sum(nil))
}

func (c *Certificate) digest() digest {
	switch {
	case c.Err != nil:
		return digestOf([]byte("error"), []byte(c.Err.Error()))
	case c.TLS != nil:
		return digestOf(append([][]byte{[]byte("tls"), c.TLS.OCSPStaple}, c.TLS.Certificate...)...)
	default:
		return digestOf([]byte("pem"), c.Chain, c.Key, c.Staple)
	}
}

func (c *ClientCA) digest() digest {
	if c.Err != nil {
		return digestOf([]byte("error"), []byte(c.Err.Error()))
	}
	return digestOf([]byte("pem"), c.PEM)
}
