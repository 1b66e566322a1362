package tlsmetrics

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/seed-e3b9a99f/baton/internal/testca"
	"github.com/seed-e3b9a99f/baton/tlsreload"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// contents are a Source that a test changes.
type contents struct {
	tlsreload.Contents
	err error
}

func (c *contents) Load(context.Context) (tlsreload.Contents, error) { return c.Contents, c.err }

// opened returns a Reloader that looks at its sources when it is told to.
func opened(t *testing.T, opts tlsreload.Options) *tlsreload.Reloader {
	t.Helper()
	opts.Interval, opts.Logger = time.Hour, slog.New(slog.DiscardHandler)
	r, err := tlsreload.New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// handshake makes one connection between client and server.
func handshake(t *testing.T, server, client *tls.Config) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	served := make(chan error, 1)
	go func() {
		s := tls.Server(a, server)
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte{'!'}) // the client reads its session ticket with it
		}
		served <- err
	}()
	_, err := tls.Client(b, client).Read(make([]byte, 1))
	if err := errors.Join(err, <-served); err != nil {
		t.Fatal(err)
	}
}

func TestMetricsSayWhatStatusSays(t *testing.T) {
	from := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	until := time.Now().AddDate(1, 0, 0).Truncate(time.Second)
	ca := testca.New(t, "ca")
	leaf := func() tls.Certificate {
		return ca.Issue(t, testca.Request{Names: []string{"a.test"}, NotBefore: from, NotAfter: until}).TLS
	}
	cert := leaf()
	source := &contents{Contents: tlsreload.Contents{
		Certificates: []tlsreload.Certificate{{Name: "a", TLS: &cert}},
		ClientCAs:    []tlsreload.ClientCA{{Name: "staff", PEM: ca.PEM}},
	}}
	r := opened(t, tlsreload.Options{Sources: []tlsreload.Source{source}})
	c := NewCollector(r, nil)
	wantValue := func(metric string, want string) {
		t.Helper()
		name, _, _ := strings.Cut(metric, "{")
		kind := "gauge"
		if strings.HasSuffix(name, "_total") {
			kind = "counter"
		}
		text := fmt.Sprintf("# HELP %s %s\n# TYPE %s %s\n%s\n", name, help(t, c, name), name, kind, want)
		if err := testutil.CollectAndCompare(c, strings.NewReader(text), name); err != nil {
			t.Error(err)
		}
	}
	value := func(metric string, v float64) string { return fmt.Sprintf("%s %g", metric, v) }
	wantGauge := func(metric string, v float64) { t.Helper(); wantValue(metric, value(metric, v)) }

	wantGauge(`baton_tls_certificate_not_before_seconds{name="a"}`, float64(from.Unix()))
	wantGauge(`baton_tls_certificate_not_after_seconds{name="a"}`, float64(until.Unix()))
	wantGauge(`baton_tls_client_ca_not_after_seconds{name="staff"}`, float64(ca.Cert.NotAfter.Unix()))
	wantGauge("baton_tls_last_failure_timestamp_seconds", 0)
	wantGauge("baton_tls_problems", 0)
	wantGauge("baton_tls_generation", 1)
	wantGauge("baton_tls_ticket_keys", 1)

	client := &tls.Config{RootCAs: ca.Pool(), ServerName: "a.test", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	for range 3 {
		handshake(t, r.Config(), client)
	}
	wantValue("baton_tls_handshakes_total",
		"baton_tls_handshakes_total{resumed=\"false\"} 1\nbaton_tls_handshakes_total{resumed=\"true\"} 2")

	next := leaf()
	source.Certificates[0].TLS = &next
	if err := r.Reload(t.Context()); err != nil { // changed, as the start was
		t.Fatal(err)
	}
	if err := r.Reload(t.Context()); err != nil { // unchanged
		t.Fatal(err)
	}
	source.err = errors.New("gone fishing")
	for range 3 {
		if err := r.Reload(t.Context()); err == nil {
			t.Fatal("the source's error was lost")
		}
	}
	wantValue("baton_tls_reloads_total", strings.Join([]string{
		`baton_tls_reloads_total{result="changed"} 2`,
		`baton_tls_reloads_total{result="refused"} 3`,
		`baton_tls_reloads_total{result="unchanged"} 1`,
	}, "\n"))
	wantGauge("baton_tls_generation", 2)
	wantGauge("baton_tls_problems", 1)
	s := r.Status()
	wantGauge("baton_tls_last_success_timestamp_seconds", float64(s.LastSuccess.UnixMilli())/1e3)
	wantGauge("baton_tls_last_failure_timestamp_seconds", float64(s.LastFailure.UnixMilli())/1e3)
}

// help returns a metric's help text.
func help(t *testing.T, c prometheus.Collector, name string) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetHelp()
		}
	}
	t.Fatalf("no metric %s", name)
	return ""
}

func TestNamesAreGoodAndDocumented(t *testing.T) {
	ca := testca.New(t, "ca")
	cert := ca.Issue(t, testca.Request{}).TLS
	source := &contents{Contents: tlsreload.Contents{
		Certificates: []tlsreload.Certificate{{Name: "a", TLS: &cert}},
		ClientCAs:    []tlsreload.ClientCA{{Name: "staff", PEM: ca.PEM}},
	}}
	c := NewCollector(opened(t, tlsreload.Options{Sources: []tlsreload.Source{source}}), nil)
	problems, err := testutil.CollectAndLint(c)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %+v", err, problems)
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("collector.go")
	if err != nil {
		t.Fatal(err)
	}
	doc, _, _ := strings.Cut(string(text), "package tlsmetrics\n")
	for _, f := range families {
		if !strings.Contains(doc, "//\t"+f.GetName()) {
			t.Errorf("the package's doc does not list %s", f.GetName())
		}
	}
	if want := strings.Count(doc, "//\tbaton_tls_"); len(families) != want {
		t.Errorf("%d metrics, and %d are documented", len(families), want)
	}
}

func TestTwoInOneRegistry(t *testing.T) {
	ca := testca.New(t, "ca")
	registry := prometheus.NewPedanticRegistry()
	for _, listener := range []string{"web", "admin"} {
		r := opened(t, tlsreload.Options{Sources: tlsreload.Static(ca.Issue(t, testca.Request{}).TLS)})
		if err := registry.Register(NewCollector(r, prometheus.Labels{"listener": listener})); err != nil {
			t.Error(err)
		}
		if err := registry.Register(NewCollector(r, prometheus.Labels{"listener": listener})); err == nil {
			t.Error("two with the same labels were taken")
		}
	}
	text := strings.NewReader(`
# HELP baton_tls_generation How often what is served has changed; 1 at the start.
# TYPE baton_tls_generation gauge
baton_tls_generation{listener="admin"} 1
baton_tls_generation{listener="web"} 1
`)
	if err := testutil.GatherAndCompare(registry, text, "baton_tls_generation"); err != nil {
		t.Error(err)
	}
}

// A label that is in the metrics already would panic at a scrape.
func TestALabelThatIsTakenIsAnError(t *testing.T) {
	r := opened(t, tlsreload.Options{Sources: tlsreload.Static(testca.New(t, "ca").Issue(t, testca.Request{}).TLS)})
	if err := prometheus.NewRegistry().Register(NewCollector(r, prometheus.Labels{"name": "x"})); err == nil {
		t.Error("it was taken")
	}
}

func TestNamesThatAreNoUTF8(t *testing.T) {
	ca := testca.New(t, "ca")
	a, b := ca.Issue(t, testca.Request{}).TLS, ca.Issue(t, testca.Request{}).TLS
	source := &contents{Contents: tlsreload.Contents{
		Certificates: []tlsreload.Certificate{{Name: "\xfe", TLS: &a}, {Name: "\xff", TLS: &b}},
	}}
	c := NewCollector(opened(t, tlsreload.Options{Sources: []tlsreload.Source{source}}), nil)
	if n, err := testutil.GatherAndCount(registered(c), "baton_tls_certificate_not_after_seconds"); n != 2 || err != nil {
		t.Errorf("%d metrics, %v", n, err)
	}
}

func registered(c prometheus.Collector) *prometheus.Registry {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	return registry
}

// What is wrong with the key file is a problem like any other.
func TestTicketKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	if err := tlsreload.RotateKeyFile(path, time.Now(), 0, 1); err != nil {
		t.Fatal(err)
	}
	keys, err := tlsreload.NewTicketKeys(tlsreload.TicketOptions{
		File: path, Interval: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close()
	r := opened(t, tlsreload.Options{
		Sources: tlsreload.Static(testca.New(t, "ca").Issue(t, testca.Request{}).TLS), TicketKeys: keys,
	})
	if err := os.WriteFile(path, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	for r.Status().Tickets.Err == "" {
		select {
		case <-t.Context().Done():
			t.Fatal("the key file's problem was not seen")
		case <-time.After(5 * time.Millisecond):
		}
	}
	c := NewCollector(r, nil)
	text := "# HELP baton_tls_problems " + help(t, c, "baton_tls_problems") +
		"\n# TYPE baton_tls_problems gauge\nbaton_tls_problems 1\n"
	if err := testutil.CollectAndCompare(c, strings.NewReader(text), "baton_tls_problems"); err != nil {
		t.Error(err)
	}
}
