//go:build linux || darwin

package tlsreload

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/internal/testca"
)

// A mend may pass through another state that is no good, which lasts too short to be logged. What was logged before has
// ended none the less, and whoever has read of it waits to read that.
func TestRotationIsGoodAgainAfterAnotherCause(t *testing.T) {
	ca, dir := testca.New(t, "ca"), t.TempDir()
	cert, key := issueChain(t, ca).Write(t, dir)
	r, j := opened(t, Options{Sources: []Source{silent{&Files{Certificates: []FilePair{{Cert: cert, Key: key}}}}}})
	write(t, cert, []byte("garbage"))
	_ = r.Reload(t.Context()) // it logs at once
	next := issueChain(t, ca)
	for _, step := range []func(){func() { write(t, cert, next.Cert) }, func() { write(t, key, next.Key) }} {
		step()
		_ = r.round(t.Context()) // what poll does
	}
	if log := j.String(); strings.Count(log, "refused") != 1 || strings.Count(log, "good again") != 1 {
		t.Errorf("want one line that it is refused, and one that it is good again:\n%s", log)
	}
}

// A pipe may also come after somebody has looked at what there is, and before it is opened: that must not wait for a
// writer either.
func TestRotationPipeInTheMiddle(t *testing.T) {
	dir := t.TempDir()
	cert, key := issueChain(t, testca.New(t, "ca")).Write(t, dir)
	pipe, file := filepath.Join(dir, "pipe"), filepath.Join(dir, "file")
	must(t, syscall.Mkfifo(pipe, 0o600))
	must(t, os.Link(cert, file))
	files := &Files{Certificates: []FilePair{{Cert: cert, Key: key}}}
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); {
			_, _ = files.Load(t.Context())
		}
	}()
	for hangs := time.After(3 * time.Second); ; {
		for _, name := range []string{pipe, file} {
			must(t, os.Link(name, cert+".new"))
			must(t, os.Rename(cert+".new", cert))
		}
		select {
		case <-loaded:
			return
		case <-hangs:
			t.Error("it waits for a pipe")
			w, err := os.OpenFile(pipe, os.O_WRONLY, 0) // so that it waits no longer
			must(t, err)
			must(t, w.Close())
			<-loaded
			return
		default:
		}
	}
}
