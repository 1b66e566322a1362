package tlsreload

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/seed-e3b9a99f/baton/internal/testca"
)

// failing is a source that may fail as a whole.
type failing struct {
	changing
	err error
}

func (f *failing) Load(ctx context.Context) (Contents, error) {
	if f.err != nil {
		return Contents{}, f.err
	}
	return f.changing.Load(ctx)
}

// A source that cannot be read keeps what it had, certificates and client CAs; what it does not have any more goes.
func TestSourceThatFails(t *testing.T) {
	ca := testca.New(t, "ca")
	a, b := ca.Issue(t, testca.Request{Names: []string{"a.test"}}), ca.Issue(t, testca.Request{Names: []string{"b.test"}})
	other := ca.Issue(t, testca.Request{Names: []string{"c.test"}})
	source := &failing{}
	source.set(a.TLS, b.TLS)
	source.ClientCAs = []ClientCA{{Name: "clients", PEM: ca.PEM}}
	var veto error
	r, j := opened(t, Options{
		Sources: append([]Source{source}, Static(other.TLS)...), Allow: Allow{LostNames: true},
		Before: func(_, _ Status) error { return veto },
	})
	serves := func(want ...string) {
		t.Helper()
		var names []string
		s := r.Status()
		for _, c := range s.Certificates {
			names = append(names, c.Names...)
		}
		for _, c := range s.ClientCAs {
			names = append(names, c.Name)
		}
		if !slices.Equal(names, want) {
			t.Errorf("%v is served, want %v", names, want)
		}
	}
	refused := func(want ...string) {
		t.Helper()
		err := r.Reload(t.Context())
		for _, want := range want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
		}
	}
	source.err = errors.New("unplugged")
	refused("source 1: unplugged")
	serves("a.test", "b.test", "c.test", "clients")

	source.err = nil
	source.ClientCAs[0].PEM = ca.PEM[:len(ca.PEM)/2]
	refused("clients: client CAs: 1 of 1 PEM blocks")
	serves("a.test", "b.test", "c.test", "clients")

	source.ClientCAs = nil
	source.set(b.TLS)
	veto = errors.New("not on a Friday")
	refused(serial(a.X509)+": vetoed: not on a Friday", "clients: vetoed: not on a Friday")
	serves("a.test", "b.test", "c.test", "clients")

	veto = nil
	if err := r.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	serves("b.test", "c.test")
	for _, want := range []string{"what=certificate name=" + serial(a.X509), "what=\"client CAs\" name=clients"} {
		if line := "gone from its source\" " + want; strings.Count(j.String(), line) != 1 {
			t.Errorf("not in the log, once: %s\n%s", line, j)
		}
	}
}

// A response that says that the certificate in use is revoked does not take it out of use, and marks it.
func TestStapleRevokes(t *testing.T) {
	ca := testca.New(t, "ca")
	leaf := ca.Issue(t, testca.Request{})
	leaf.TLS.Certificate = append(leaf.TLS.Certificate, ca.Cert.Raw)
	source := &changing{}
	source.set(leaf.TLS)
	r, _ := opened(t, Options{Sources: []Source{source}})
	leaf.TLS.OCSPStaple = ca.Staple(t, leaf, ocsp.Revoked, time.Now().Add(time.Hour))
	source.set(leaf.TLS)
	if err := r.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "has been revoked") {
		t.Errorf("%v", err)
	}
	if s := r.Status(); s.Certificates[0].Serial != serial(leaf.X509) || s.Certificates[0].Stapled {
		t.Errorf("%+v", s.Certificates)
	}
	if !r.current.Load().certs[0].fate.revoked.Load() {
		t.Error("its connections do not learn of it")
	}
}
