package tlsreload

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-multierror"
)

// order is what a source has, by name.
type order struct{ certs, cas []string }

// settle is between the two reads that have to agree.
const settle = 10 * time.Millisecond

// round looks at every source once, or twice where something is new, and serves what is good of it. It returns what is
// not.
func (r *Reloader) round(ctx context.Context) error {
	r.rounds.Lock()
	defer r.rounds.Unlock()
	found := r.look(ctx)
	if found.new {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(settle):
		}
		found.agree(r.look(ctx))
	}
	if ctx.Err() != nil { // what was read is incomplete
		return ctx.Err()
	}
	now := time.Now()
	next := r.accept(found, now)
	changed := r.publish(found, next, now)
	r.note(found, changed, now)
	return together(found.problems)
}

// findings are what a look at the sources found.
type findings struct {
	certs    map[string]*Certificate
	cas      map[string]*ClientCA
	digests  map[string]digest // by kind and name
	orders   []order
	problems map[string]error // by name: why something is refused
	warnings map[string]error // what an operator should know, and keeps nothing from being served
	new      bool             // something is not as it was accepted
}

func (f *findings) problem(name string, err error) { f.problems[name] = err }
func (f *findings) warn(name string, err error)    { f.warnings[name] = err }

// look reads every source.
func (r *Reloader) look(ctx context.Context) *findings {
	f := &findings{
		certs: make(map[string]*Certificate), cas: make(map[string]*ClientCA), digests: make(map[string]digest),
		orders: slices.Clone(r.orders), problems: make(map[string]error), warnings: make(map[string]error),
	}
	for i, s := range r.opts.Sources {
		c, err := s.Load(ctx)
		if err != nil {
			f.problem(fmt.Sprintf("source %d", i+1), err)
			continue
		}
		f.orders[i] = order{}
		for j := range c.Certificates {
			cert := &c.Certificates[j]
			if err := f.names(cert.Name, f.certs[cert.Name] != nil); err != nil {
				f.problem(fmt.Sprintf("source %d", i+1), err)
				continue
			}
			f.certs[cert.Name] = cert
			f.orders[i].certs = append(f.orders[i].certs, cert.Name)
			d := cert.digest()
			f.digests["certificate "+cert.Name] = d
			was := r.certs[cert.Name]
			f.new = f.new || was == nil || was.digest != d
		}
		for j := range c.ClientCAs {
			ca := &c.ClientCAs[j]
			if err := f.names(ca.Name, f.cas[ca.Name] != nil); err != nil {
				f.problem(fmt.Sprintf("source %d", i+1), err)
				continue
			}
			f.cas[ca.Name] = ca
			f.orders[i].cas = append(f.orders[i].cas, ca.Name)
			d := ca.digest()
			f.digests["CA "+ca.Name] = d
			was := r.cas[ca.Name]
			f.new = f.new || was == nil || was.digest != d
		}
	}
	return f
}

func (f *findings) names(name string, taken bool) error {
	switch {
	case name == "":
		return errNoName
	case taken:
		return fmt.Errorf("%s is there twice", name)
	}
	return nil
}

// agree takes what a second look found, but for what it did not find again as it was.
func (f *findings) agree(second *findings) {
	first := f.digests
	*f = *second
	for name := range f.certs {
		if first["certificate "+name] != f.digests["certificate "+name] {
			f.certs[name] = &Certificate{Name: name, Err: errUnsteady}
		}
	}
	for name := range f.cas {
		if first["CA "+name] != f.digests["CA "+name] {
			f.cas[name] = &ClientCA{Name: name, Err: errUnsteady}
		}
	}
}

// proposal is what to serve next, and what of it is new.
type proposal struct {
	certs  []*identity
	cas    []*authorities
	orders []order
	fresh  []string // names of what is new
	gone   []string // names of what no source has any more
}

// accept judges what was found, one by one. What is refused stays as it was.
func (r *Reloader) accept(f *findings, now time.Time) *proposal {
	p := &proposal{orders: f.orders}
	next := make(map[string]*identity)
	for _, o := range f.orders {
		for _, name := range o.certs {
			id := r.acceptCertificate(f, name, now)
			if id == nil {
				continue
			}
			next[name] = id
		}
	}
	if !r.opts.Allow.LostNames {
		r.keepNames(f, next)
	}
	for _, o := range f.orders {
		for _, name := range o.certs {
			if id := next[name]; id != nil {
				if now.After(id.tls.Leaf.NotAfter) && !r.opts.Allow.Expired {
					f.warn(name+" (served)", fmt.Errorf("it has expired on %s", id.tls.Leaf.NotAfter.Format(time.RFC3339)))
				}
				p.certs = append(p.certs, id)
				if id != r.certs[name] {
					p.fresh = append(p.fresh, name)
				}
			}
		}
		for _, name := range o.cas {
			was := r.cas[name]
			a := was
			if ca := f.cas[name]; ca != nil && (was == nil || was.digest != f.digests["CA "+name]) {
				parsed, err := parseCAs(ca, f.digests["CA "+name])
				if err != nil {
					f.problem(name, fmt.Errorf("client CAs: %w", err))
				} else {
					a = parsed
					p.fresh = append(p.fresh, name)
				}
			}
			if a != nil {
				p.cas = append(p.cas, a)
			}
		}
	}
	for name := range r.certs {
		if next[name] == nil {
			p.gone = append(p.gone, name)
		}
	}
	slices.Sort(p.gone)
	return p
}

// acceptCertificate returns what to serve under name: what was found, or what was there before.
func (r *Reloader) acceptCertificate(f *findings, name string, now time.Time) *identity {
	was := r.certs[name]
	cert := f.certs[name]
	if cert == nil { // its source could not be read
		return was
	}
	d := f.digests["certificate "+name]
	if was != nil && was.digest == d {
		return r.freshStaple(f, was, now)
	}
	id, err := parseCertificate(cert, d)
	if err == nil {
		err = r.judge(id, now)
	}
	if err != nil {
		if id != nil && id.staple.revoked && was != nil && was.tls.Leaf.Equal(id.tls.Leaf) {
			r.revoked[id.tls.Leaf.SerialNumber.String()] = true
			was.fate.revoked.Store(true)
		}
		f.problem(name, err)
		return was
	}
	if was != nil && was.tls.Leaf.Equal(id.tls.Leaf) {
		id.fate = was.fate
		if id.stapleErr != nil && len(was.tls.OCSPStaple) > 0 {
			id.staple, id.tls.OCSPStaple = was.staple, was.tls.OCSPStaple
		}
	}
	return r.freshStaple(f, id, now)
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
func (r *Reloader) keepNames(f *findings, next map[string]*identity) {
	serves := make(map[string]bool)
	for _, id := range next {
		for _, name := range id.names() {
			serves[strings.ToLower(name)] = true
		}
	}
	for name, id := range next {
		was := r.certs[name]
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
			f.problem(name, fmt.Errorf("it does not have %s, which the certificate before it has", strings.Join(lost, ", ")))
			next[name] = was
		}
	}
}

// publish serves p, if there is something new about it. At the start it is all or nothing.
func (r *Reloader) publish(f *findings, p *proposal, now time.Time) bool {
	was := r.current.Load()
	switch {
	case was != nil && slices.Equal(was.certs, p.certs) && slices.Equal(was.cas, p.cas):
		r.orders = p.orders
		return false
	case was == nil && len(f.problems) > 0:
		return false
	case len(p.certs) == 0:
		f.problem("sources", errors.New("they have no certificate"))
		return false
	}
	s, err := newSnapshot(&r.opts, p.certs, p.cas)
	if err != nil {
		f.problem("options", err)
		return false
	}
	s.generation, s.at = 1, now
	if was != nil {
		s.generation = was.generation + 1
	}
	old := r.Status()
	status := old
	status.Generation, status.Changed = s.generation, now
	status.Certificates, status.ClientCAs = s.describe()
	if was != nil && r.opts.Before != nil {
		if err := r.opts.Before(old, status); err != nil {
			for _, name := range append(slices.Clone(p.fresh), p.gone...) {
				f.problem(name, fmt.Errorf("vetoed: %w", err))
			}
			return false
		}
	}
	r.replace(p, s, now)
	r.mu.Lock()
	r.status = status
	r.mu.Unlock()
	r.tell(p)
	if was != nil && r.opts.After != nil {
		r.opts.After(old, status)
	}
	return true
}

// replace makes s what is served.
func (r *Reloader) replace(p *proposal, s *snapshot, now time.Time) {
	was := r.current.Load()
	r.mu.Lock()
	r.current.Store(s)
	for _, f := range r.fronts {
		f.show(s)
	}
	r.mu.Unlock()
	next := make(map[string]*identity)
	for _, id := range p.certs {
		next[id.name] = id
	}
	revoked := false
	for name, id := range r.certs {
		if n := next[name]; n == nil || n.fate != id.fate {
			id.fate.replaced.Store(now.UnixNano())
			revoked = revoked || id.fate.revoked.Load()
		}
	}
	if was != nil {
		was.replaced.Store(now.UnixNano())
	}
	r.certs, r.cas, r.orders = next, make(map[string]*authorities), p.orders
	for _, a := range p.cas {
		r.cas[a.name] = a
	}
	if revoked {
		if err := r.endSessions(); err != nil {
			r.opts.Logger.Error("TLS: sessions of a revoked certificate may still resume", "err", err)
		}
	}
}

// tell logs what is new.
func (r *Reloader) tell(p *proposal) {
	for _, name := range p.fresh {
		if id := r.certs[name]; id != nil {
			leaf := id.tls.Leaf
			r.opts.Logger.Info("TLS: certificate", "name", name, "serial", serial(leaf), "hosts", strings.Join(id.names(), ","),
				"not_after", leaf.NotAfter.UTC().Format(time.RFC3339))
		} else if a := r.cas[name]; a != nil {
			r.opts.Logger.Info("TLS: client CAs", "name", name, "cas", len(a.certs))
		}
	}
	for _, name := range p.gone {
		r.opts.Logger.Info("TLS: certificate is gone from its source", "name", name)
	}
}

// note takes down how the round went.
func (r *Reloader) note(f *findings, changed bool, now time.Time) {
	found := maps.Clone(f.problems)
	maps.Copy(found, f.warnings)
	for name, err := range found {
		was := r.issues[name]
		if was == nil || was.Text != err.Error() {
			r.issues[name] = &issue{
				Problem: Problem{Name: name, Text: err.Error(), Since: now}, refused: f.problems[name] != nil,
				heard: was != nil && was.heard,
			}
		}
	}
	var standing []Problem
	for name, i := range r.issues {
		if found[name] != nil {
			standing = append(standing, i.Problem)
			continue
		}
		delete(r.issues, name)
		if i.heard {
			r.opts.Logger.Info("TLS: good again", "name", name)
		}
	}
	slices.SortFunc(standing, func(a, b Problem) int { return strings.Compare(a.Name, b.Name) })
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status.Problems = standing
	switch {
	case len(f.problems) > 0:
		r.status.Reloads.Refused++
		r.status.LastFailure, r.status.LastError = now, together(f.problems).Error()
	case changed:
		r.status.Reloads.Changed++
		r.status.LastSuccess = now
	default:
		r.status.Reloads.Unchanged++
		r.status.LastSuccess = now
	}
}

// together joins what is wrong, in the order of names.
func together(problems map[string]error) error {
	errs := &multierror.Error{ErrorFormat: oneLine}
	for _, name := range slices.Sorted(maps.Keys(problems)) {
		errs = multierror.Append(errs, fmt.Errorf("%s: %w", name, problems[name]))
	}
	return errs.ErrorOrNil()
}

func oneLine(errs []error) string {
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}
