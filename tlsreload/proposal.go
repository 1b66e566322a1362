package tlsreload

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
)

// proposal is what to serve next, and what of it is new.
type proposal struct {
	good   map[slot]good
	certs  []*identity
	cas    []*authorities
	orders [][]slot
	fresh  []slot // what is new
	gone   []slot // what no source has any more
}

// good is what was accepted: an identity or authorities.
type good interface{ sum() digest }

func (id *identity) sum() digest   { return id.digest }
func (a *authorities) sum() digest { return a.digest }

// identities are the certificates of m.
func identities(m map[slot]good) iter.Seq2[slot, *identity] {
	return func(yield func(slot, *identity) bool) {
		for at, g := range m {
			if id, ok := g.(*identity); ok && !yield(at, id) {
				return
			}
		}
	}
}

// accept judges what was found, one by one. What is refused stays as it was.
func (r *Reloader) accept(f *findings, now time.Time) *proposal {
	p := &proposal{good: make(map[slot]good), orders: f.orders}
	slots := slices.Concat(f.orders...)
	for _, at := range slots {
		g, err := r.choose(f.offers[at], r.served[at], now)
		if err != nil {
			f.problem(at.name, err)
			g = r.served[at]
		}
		if g != nil {
			p.good[at] = g
		}
	}
	if !r.opts.Allow.LostNames {
		r.keepNames(f, p.good)
	}
	for _, at := range slots {
		switch g := p.good[at].(type) {
		case nil:
			continue
		case *identity:
			id := r.freshStaple(f, g, now)
			if now.After(id.tls.Leaf.NotAfter) && !r.opts.Allow.Expired {
				f.warn(at.name+" (served)", fmt.Errorf("it has expired on %s", id.tls.Leaf.NotAfter.Format(time.RFC3339)))
			}
			p.good[at], p.certs = id, append(p.certs, id)
		case *authorities:
			p.cas = append(p.cas, g)
		}
		if p.good[at] != r.served[at] {
			p.fresh = append(p.fresh, at)
		}
	}
	for at := range r.served {
		if p.good[at] == nil {
			p.gone = append(p.gone, at)
		}
	}
	slices.SortFunc(p.gone, func(a, b slot) int { return strings.Compare(a.name, b.name) })
	return p
}

// choose returns what to serve where o is offered and was is served; either may be nil.
func (r *Reloader) choose(o *offer, was good, now time.Time) (good, error) {
	switch {
	case o == nil: // its source could not be read
		return was, nil
	case was != nil && was.sum() == o.digest:
		return was, nil
	case o.unsteady:
		return nil, errUnsteady
	case o.ca != nil:
		a, err := parseCAs(o.ca, o.digest)
		if err != nil {
			return nil, fmt.Errorf("client CAs: %w", err)
		}
		return a, nil
	}
	old, _ := was.(*identity)
	return r.acceptCertificate(o, old, now)
}

// acceptCertificate makes of o what to serve in the place of was, which may be nil.
func (r *Reloader) acceptCertificate(o *offer, was *identity, now time.Time) (*identity, error) {
	id, err := parseCertificate(o.cert, o.digest)
	if err != nil {
		return nil, err
	}
	same := was != nil && was.tls.Leaf.Equal(id.tls.Leaf)
	if err := r.judge(id, now); err != nil {
		if same && id.staple.revoked {
			r.revoked[id.tls.Leaf.SerialNumber.String()] = true
			was.fate.revoked.Store(true)
		}
		return nil, err
	}
	if same {
		id.fate = was.fate
		if id.stapleErr != nil && len(was.tls.OCSPStaple) > 0 {
			id.staple, id.tls.OCSPStaple = was.staple, was.tls.OCSPStaple
		}
	}
	return id, nil
}

// freshStaple returns id, without a staple that is out of date.
func (r *Reloader) freshStaple(f *findings, id *identity, now time.Time) *identity {
	if id.stapleErr != nil {
		f.warn(id.name+" (OCSP staple)", id.stapleErr)
	}
	if id.staple.next.IsZero() || now.Before(id.staple.next) {
		return id
	}
	f.warn(id.name+" (OCSP staple)", fmt.Errorf("it is out of date since %s, and is not sent", id.staple.next.Format(time.RFC3339)))
	if len(id.tls.OCSPStaple) == 0 {
		return id
	}
	bare := *id
	bare.tls.OCSPStaple = nil
	return &bare
}

// keepNames goes back to what was served where a name would be lost.
func (r *Reloader) keepNames(f *findings, next map[slot]good) {
	serves := make(map[string]bool)
	for _, id := range identities(next) {
		for _, name := range id.names() {
			serves[strings.ToLower(name)] = true
		}
	}
	for at, id := range identities(next) {
		was, _ := r.served[at].(*identity)
		if was == nil || was == id {
			continue
		}
		var lost []string
		for _, host := range was.names() {
			host = strings.ToLower(host)
			if !serves[host] && !serves[wildcard(host)] {
				lost = append(lost, host)
			}
		}
		if len(lost) > 0 {
			f.problem(at.name, fmt.Errorf("it does not have %s, which the certificate before it has", strings.Join(lost, ", ")))
			next[at] = was
		}
	}
}
