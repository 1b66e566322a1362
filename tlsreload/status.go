package tlsreload

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"slices"
	"time"
)

// Status is what a Reloader serves at a moment, and how it came to it. It has nothing secret.
type Status struct {
	Generation  uint64    `json:"generation"`   // of what is served: how often it has changed, and 1 at the start
	Changed     time.Time `json:"changed"`      // when this generation began
	LastSuccess time.Time `json:"last_success"` // when the sources were last read without a problem
	LastFailure time.Time `json:"last_failure,omitzero"`
	LastError   string    `json:"last_error,omitempty"` // of then

	Certificates []CertificateStatus `json:"certificates"`
	ClientCAs    []ClientCAStatus    `json:"client_cas,omitempty"`
	Problems     []Problem           `json:"problems,omitempty"` // what stands at this moment

	Reloads    Reloads      `json:"reloads"`
	Handshakes Handshakes   `json:"handshakes"`
	Tickets    TicketStatus `json:"tickets"`
}

// CertificateStatus is a certificate that is served.
type CertificateStatus struct {
	Name        string    `json:"name"` // what its source calls it
	Names       []string  `json:"names"`
	Subject     string    `json:"subject"`
	Issuer      string    `json:"issuer"`
	Serial      string    `json:"serial"` // hexadecimal
	Algorithm   string    `json:"algorithm"`
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	Fingerprint string    `json:"fingerprint"` // SHA-256 of the leaf
	Stapled     bool      `json:"stapled,omitempty"`
}

// ClientCAStatus is a bundle of client CAs in use.
type ClientCAStatus struct {
	Name     string    `json:"name"`
	CAs      int       `json:"cas"`
	NotAfter time.Time `json:"not_after"` // of the one that expires first
}

// Problem is why something is not as its source has it now: the last good one is served.
type Problem struct {
	Name  string    `json:"name"` // of the certificate, CA bundle or source
	Text  string    `json:"text"`
	Since time.Time `json:"since"`
}

// Reloads count how often the sources were read, by what came of it.
type Reloads struct {
	Changed   uint64 `json:"changed"`
	Unchanged uint64 `json:"unchanged"`
	Refused   uint64 `json:"refused"` // at least one thing was refused
}

// Handshakes count what was agreed on with clients.
type Handshakes struct {
	Full    uint64 `json:"full"`
	Resumed uint64 `json:"resumed"`
}

// Status returns how things stand.
func (r *Reloader) Status() Status {
	r.mu.Lock()
	s := r.status
	r.mu.Unlock()
	s.Handshakes = Handshakes{Full: r.full.Load(), Resumed: r.resumed.Load()}
	if r.tickets != nil {
		s.Tickets = r.tickets.Status()
	}
	return s
}

// describe returns what a snapshot serves, as Status has it.
func (s *snapshot) describe() (certs []CertificateStatus, cas []ClientCAStatus) {
	for _, id := range s.certs {
		leaf := id.tls.Leaf
		sum := sha256.Sum256(leaf.Raw)
		certs = append(certs, CertificateStatus{
			Name: id.name, Names: slices.Clone(id.names()), Subject: leaf.Subject.String(), Issuer: leaf.Issuer.String(),
			Serial: serial(leaf), Algorithm: leaf.PublicKeyAlgorithm.String(), NotBefore: leaf.NotBefore,
			NotAfter: leaf.NotAfter, Fingerprint: hex.EncodeToString(sum[:]), Stapled: len(id.tls.OCSPStaple) > 0,
		})
	}
	for _, a := range s.cas {
		st := ClientCAStatus{Name: a.name, CAs: len(a.certs)}
		for _, c := range a.certs {
			if st.NotAfter.IsZero() || c.NotAfter.Before(st.NotAfter) {
				st.NotAfter = c.NotAfter
			}
		}
		cas = append(cas, st)
	}
	return certs, cas
}

func serial(c *x509.Certificate) string { return hex.EncodeToString(c.SerialNumber.Bytes()) }
