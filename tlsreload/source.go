package tlsreload

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
)

// Source is where certificates come from: files (Files), or an ACME client, a secret store.
type Source interface {
	// Load returns all that the source has at this moment, looked up anew. It is called again and again, from one
	// goroutine at a time. An error keeps everything that came from this source before; where only some of it cannot
	// be had, Certificate.Err and ClientCA.Err say so.
	Load(ctx context.Context) (Contents, error)
}

// Watcher is a Source that knows when something may have changed, so that nobody waits for the next poll.
type Watcher interface {
	Source
	// Watch calls changed whenever Load might return something new, until ctx ends. It is a hint: what is missed is
	// found by the next poll.
	Watch(ctx context.Context, changed func())
}

// Contents are what a Source has.
type Contents struct {
	Certificates []Certificate
	ClientCAs    []ClientCA

	rest rest
}

// Certificate is a certificate with its chain and key: in PEM, or as crypto/tls has it.
type Certificate struct {
	Name   string           // what the source calls it, and does again when it is renewed; unique in all sources
	Chain  []byte           // PEM: the leaf, and those above it
	Key    []byte           // PEM; nil where it stands in Chain
	Staple []byte           // an OCSP response in DER, or none
	TLS    *tls.Certificate // in place of the others
	Err    error            // why it cannot be had at this moment
}

// ClientCA is a bundle of CAs whose clients are let in.
type ClientCA struct {
	Name string // see Options.ClientCA
	PEM  []byte
	Err  error
}

// rest is how sure a source is that nobody was writing what it read. What is new is read again accordingly.
type rest int

const (
	unsure   rest = iota // read it again some time later
	atRest               // nobody has written it lately: read it again at once
	inMemory             // it is never half of something
)

// Static is a Source of certificates that do not change.
func Static(certs ...tls.Certificate) []Source { return []Source{static(certs)} }

type static []tls.Certificate

func (s static) Load(context.Context) (Contents, error) {
	c := Contents{rest: inMemory}
	for i := range s {
		c.Certificates = append(c.Certificates, Certificate{Name: fmt.Sprintf("certificate %d", i+1), TLS: &s[i]})
	}
	return c, nil
}

var (
	errNoName   = errors.New("something has no name")
	errUnsteady = errors.New("it changes while it is read")
)
