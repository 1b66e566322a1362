package tlsreload

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// snapshot is all that handshakes need at a moment. It never changes, but for replaced.
type snapshot struct {
	generation uint64
	at         time.Time
	replaced   atomic.Int64 // when the next one took its place, in Unix nanoseconds
	strict     bool

	certs    []*identity // in the sources' order
	cas      []*authorities
	names    map[string][]*identity // exact names, and wildcards with their asterisk; ECDSA first
	fallback []*identity            // for clients that name no server, or an unknown one

	domains []*trustDomain // the first is for names without a rule of their own
	rules   map[string]*trustDomain
}

// trustDomain is names whose clients are treated alike.
type trustDomain struct {
	id   string // what session tickets are derived for
	host Host
	cas  *authorities // nil where no certificate is asked for
}

// newSnapshot indexes what was accepted. It fails where a rule names client CAs that no source has.
func newSnapshot(o *Options, certs []*identity, cas []*authorities) (*snapshot, error) {
	s := &snapshot{
		strict: o.StrictSNI, certs: certs, cas: cas,
		names: make(map[string][]*identity), rules: make(map[string]*trustDomain),
	}
	for _, id := range certs {
		for _, name := range id.names() {
			name = strings.ToLower(name)
			if !slices.Contains(s.names[name], id) {
				s.names[name] = append(s.names[name], id)
			}
		}
	}
	byRank := func(a, b *identity) int { return a.rank() - b.rank() }
	for _, ids := range s.names {
		slices.SortStableFunc(ids, byRank)
	}
	if len(certs) > 0 {
		s.fallback = certs[:1]
		if names := certs[0].names(); len(names) > 0 { // with the other kind of key, if there is one
			s.fallback = s.names[strings.ToLower(names[0])]
		}
	}
	rest := Host{ClientCA: o.ClientCA, ClientAuth: o.ClientAuth, MinVersion: o.MinVersion}
	for i, host := range append([]Host{rest}, o.Hosts...) {
		d, err := s.domain(o.TicketDomain, host)
		if err != nil {
			return nil, err
		}
		s.domains = append(s.domains, d)
		if i == 0 {
			continue
		}
		for _, name := range host.Names {
			s.rules[strings.ToLower(name)] = d
		}
	}
	return s, nil
}

func (s *snapshot) domain(label string, host Host) (*trustDomain, error) {
	d := &trustDomain{host: host}
	if host.ClientCA != "" {
		i := slices.IndexFunc(s.cas, func(a *authorities) bool { return a.name == host.ClientCA })
		if i < 0 {
			return nil, fmt.Errorf("client CAs %s: no source has them", host.ClientCA)
		}
		d.cas = s.cas[i]
		if d.host.ClientAuth == tls.NoClientCert {
			d.host.ClientAuth = tls.RequireAndVerifyClientCert
		}
	}
	names := slices.Sorted(slices.Values(host.Names))
	var trusted digest
	if d.cas != nil {
		trusted = digestOf(raw(d.cas)...)
	}
	d.id = fmt.Sprintf("%q %q %d %x", label, names, d.host.ClientAuth, trusted)
	return d, nil
}

// raw returns a's certificates, in an order that does not depend on the file's.
func raw(a *authorities) [][]byte {
	var ders [][]byte
	for _, c := range a.certs {
		ders = append(ders, c.Raw)
	}
	slices.SortFunc(ders, slices.Compare)
	return ders
}

// wildcard returns the name with an asterisk that covers name, or "".
func wildcard(name string) string {
	if i := strings.IndexByte(name, '.'); i > 0 {
		return "*" + name[i:]
	}
	return ""
}

// lookup finds what is known of a name: itself, or else the wildcard above it.
func lookup[T any](m map[string]T, name string) (T, bool) {
	if v, ok := m[name]; ok {
		return v, true
	}
	v, ok := m[wildcard(name)]
	return v, ok
}

// domainOf returns how a name's clients are treated.
func (s *snapshot) domainOf(name string) *trustDomain {
	if len(s.rules) > 0 {
		if d, ok := lookup(s.rules, strings.ToLower(name)); ok {
			return d
		}
	}
	return s.domains[0]
}

// knows tells whether a certificate has the name.
func (s *snapshot) knows(name string) bool {
	_, ok := lookup(s.names, strings.ToLower(name))
	return ok
}

// choose returns the certificate for a client: by the name that it asks for (exact, wildcard, the first of all), and
// among those by what it supports. Nil refuses it.
func (s *snapshot) choose(hello *tls.ClientHelloInfo) *identity {
	if len(s.certs) == 1 && !s.strict {
		return s.certs[0]
	}
	anyName := *hello
	anyName.ServerName = "" // which is compared here
	var first *identity
	try := func(ids []*identity) *identity {
		for _, id := range ids {
			if first == nil {
				first = id
			}
			if anyName.SupportsCertificate(&id.tls) == nil {
				return id
			}
		}
		return nil
	}
	name := strings.ToLower(hello.ServerName)
	if name != "" {
		if id := try(s.names[name]); id != nil {
			return id
		}
		if id := try(s.names[wildcard(name)]); id != nil {
			return id
		}
	}
	if s.strict {
		return first
	}
	if id := try(s.fallback); id != nil {
		return id
	}
	return first // the handshake fails with what the client lacks
}
