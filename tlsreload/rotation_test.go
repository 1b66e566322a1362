//go:build linux || darwin

package tlsreload

import (
	"context"
	"crypto/tls"
	"log/slog"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/internal/testca"
)

// Certificates change all the time, and no client notices: no handshake fails, each gets what was current meanwhile
// (see ledger), and the last one is served in the end.
func TestRotation(t *testing.T) {
	eachOf(t, slices.Sorted(maps.Keys(ways)), func(t *testing.T, name string) { rotation(t, ways[name]) })
}

func rotation(t *testing.T, w way) {
	ca, root, l := testca.New(t, "ca"), t.TempDir(), newLedger()
	put := func(n int) string {
		leaf := issueChain(t, ca)
		l.begin(leaf)
		w.put(t, root, n, leaf)
		l.end()
		return serial(leaf.X509)
	}
	looked := make(chan struct{}, 1)
	r := make(chan *Reloader, 1)
	if !w.wait {
		put(0)
	}
	go func() { r <- startRotation(t, w, root, looked) }()
	if w.wait {
		<-looked // and found nothing
		put(0)
	}
	reloader := <-r
	if reloader == nil {
		return
	}
	defer reloader.Close()
	stop := load(t, reloader, l, &tls.Config{RootCAs: ca.Pool(), ServerName: "a.test"})
	defer stop()
	var last string
	due := time.NewTicker(rotateEvery)
	defer due.Stop()
	for n, end := 1, time.Now().Add(*rotateFor); time.Now().Before(end); n++ {
		last = put(n)
		<-due.C
	}
	await(t, "the last certificate is served", func() bool { return reloader.Status().Certificates[0].Serial == last })
}

// startRotation sends to looked when it has looked at the files for the first time.
func startRotation(t *testing.T, w way, root string, looked chan<- struct{}) *Reloader {
	files := &Files{Certificates: []FilePair{{
		Cert: filepath.Join(root, "live", "tls.crt"), Key: filepath.Join(root, "live", "tls.key"),
	}}}
	var source Source = files
	if w.source != nil {
		source = w.source(files)
	}
	opts := Options{
		Sources: []Source{source}, Wait: w.wait, Logger: slog.New(slog.DiscardHandler),
		Interval: time.Hour, // so that the events alone have to tell
	}
	if w.polled || runtime.GOOS != "linux" {
		opts.Interval = 20 * time.Millisecond
	}
	if w.wait {
		opts.Sources = append(opts.Sources, &bell{rung: looked})
	}
	ctx, cancel := context.WithTimeout(t.Context(), bounded)
	defer cancel()
	r, err := New(ctx, opts)
	if err != nil {
		t.Error(err)
		return nil
	}
	return r
}

// bell is a source that has nothing, and tells that those before it have been read.
type bell struct{ rung chan<- struct{} }

func (b *bell) Load(context.Context) (Contents, error) {
	select {
	case b.rung <- struct{}{}:
	default:
	}
	return Contents{}, nil
}

// issueChain issues a certificate whose chain has two.
func issueChain(t testing.TB, ca *testca.CA) testca.Leaf {
	t.Helper()
	leaf := ca.Issue(t, testca.Request{Names: []string{"a.test"}})
	leaf.Cert = append(leaf.Cert, ca.PEM...)
	return leaf
}
