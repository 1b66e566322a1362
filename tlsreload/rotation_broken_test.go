//go:build linux || darwin

package tlsreload

import (
	"crypto/tls"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/internal/testca"
)

// harm is a way in which a pair of files gets broken.
type harm struct {
	reason string // what an operator reads
	// do breaks the good pair in dir; next is the one that comes after it.
	do func(t testing.TB, dir string, next, expired testca.Leaf)
}

var harms = map[string]harm{
	"half-written certificate": {"cut short", func(t testing.TB, dir string, next, _ testca.Leaf) {
		write(t, filepath.Join(dir, "tls.crt"), next.Cert[:len(next.Cert)/3])
	}},
	"half-written chain": {"1 of 2 PEM blocks cannot be read", func(t testing.TB, dir string, next, _ testca.Leaf) {
		write(t, filepath.Join(dir, "tls.crt"), next.Cert[:len(next.Cert)-40])
	}},
	"half-written key": {"key: 1 of 1 PEM blocks cannot be read", func(t testing.TB, dir string, next, _ testca.Leaf) {
		write(t, filepath.Join(dir, "tls.key"), next.Key[:len(next.Key)/2])
	}},
	"mismatch": {"private key does not match", func(t testing.TB, dir string, next, _ testca.Leaf) {
		replace(t, filepath.Join(dir, "tls.crt"), next.Cert)
	}},
	"expired": {"it has expired on", func(t testing.TB, dir string, _, expired testca.Leaf) {
		replace(t, filepath.Join(dir, "tls.crt"), expired.Cert)
		replace(t, filepath.Join(dir, "tls.key"), expired.Key)
	}},
	"empty certificate": {"certificate: it is empty", truncate("tls.crt")},
	"empty key":         {"key: it is empty", truncate("tls.key")},
	"garbage": {"it is no PEM", func(t testing.TB, dir string, _, _ testca.Leaf) {
		replace(t, filepath.Join(dir, "tls.crt"), []byte("\x00\xffgarbage"))
	}},
	"unreadable": {"permission denied", func(t testing.TB, dir string, _, _ testca.Leaf) {
		must(t, os.Chmod(filepath.Join(dir, "tls.key"), 0))
	}},
	"folder in its place": {"not a regular file", func(t testing.TB, dir string, _, _ testca.Leaf) {
		must(t, os.Remove(filepath.Join(dir, "tls.crt")))
		mkdir(t, dir, "tls.crt")
	}},
	"symlink to nowhere": {"no such file", func(t testing.TB, dir string, _, _ testca.Leaf) {
		flip(t, "nowhere", filepath.Join(dir, "tls.key"))
	}},
	"pipe": {"not a regular file", func(t testing.TB, dir string, _, _ testca.Leaf) {
		path := filepath.Join(dir, "tls.crt")
		must(t, os.Remove(path))
		must(t, syscall.Mkfifo(path, 0o600))
	}},
	"vanished file": {"no such file", func(t testing.TB, dir string, _, _ testca.Leaf) {
		must(t, os.Remove(filepath.Join(dir, "tls.key")))
	}},
	"vanished folder": {"no such file", func(t testing.TB, dir string, _, _ testca.Leaf) { must(t, os.RemoveAll(dir)) }},
}

func truncate(name string) func(testing.TB, string, testca.Leaf, testca.Leaf) {
	return func(t testing.TB, dir string, _, _ testca.Leaf) { must(t, os.Truncate(filepath.Join(dir, name), 0)) }
}

// What is broken is not served. The operator reads why, once for each cause; and once that it is good again.
func TestRotationOfBrokenFiles(t *testing.T) {
	const worse = "from bad to worse"
	eachOf(t, append(slices.Sorted(maps.Keys(harms)), worse), func(t *testing.T, name string) {
		switch {
		case name == worse:
			brokenFiles(t, harms["mismatch"], harms["pipe"])
		case name == "unreadable" && os.Geteuid() == 0:
			t.Skip("root may read every file")
		default:
			brokenFiles(t, harms[name])
		}
	})
}

// brokenFiles breaks a pair in one way after the other, mends it, and again.
func brokenFiles(t *testing.T, harms ...harm) {
	ca, dir, l := testca.New(t, "ca"), filepath.Join(t.TempDir(), "live"), newLedger()
	mkdir(t, dir, "")
	now := issueChain(t, ca)
	l.begin(now)
	cert, key := now.Write(t, dir)
	l.end()
	log := make(lines, 100)
	r, _ := opened(t, Options{
		Sources: Pair(cert, key), Interval: 20 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	log.next(t, "TLS: certificate", serial(now.X509))
	stop := load(t, r, l, &tls.Config{RootCAs: ca.Pool(), ServerName: "a.test"})
	defer stop()
	for end := time.Now().Add(*rotateFor); ; {
		next := issueChain(t, ca)
		expired := ca.Issue(t, testca.Request{
			Names: []string{"a.test"}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour),
		})
		for _, h := range harms {
			h.do(t, dir, next, expired)
			log.next(t, "refused, the last good one is served", h.reason)
			stillServes(t, r, now, h.reason)
		}
		l.begin(next)
		mend(t, dir, next)
		l.end()
		log.next(t, "TLS: certificate", serial(next.X509))
		log.next(t, "TLS: good again", "")
		await(t, "no problem is in the status", func() bool { return len(r.Status().Problems) == 0 })
		now = next
		if time.Now().After(end) {
			break
		}
	}
	select {
	case line := <-log:
		t.Errorf("more is in the log: %s", line)
	default:
	}
}

// stillServes has more rounds find the same: the reason stays in the status, and the certificate in use.
func stillServes(t *testing.T, r *Reloader, leaf testca.Leaf, reason string) {
	t.Helper()
	before := r.Status().Reloads.Refused
	await(t, "more rounds", func() bool { return r.Status().Reloads.Refused > before+3 })
	s := r.Status()
	if len(s.Problems) != 1 || !strings.Contains(s.Problems[0].Text, reason) || !strings.Contains(s.LastError, reason) {
		t.Errorf("status has %+v (%s), want %q", s.Problems, s.LastError, reason)
	}
	if s.Certificates[0].Serial != serial(leaf.X509) {
		t.Errorf("serial %s is served, want %s", s.Certificates[0].Serial, serial(leaf.X509))
	}
}

// mend brings a good pair, whatever is in its place.
func mend(t testing.TB, dir string, leaf testca.Leaf) {
	t.Helper()
	mkdir(t, dir, "")
	for name, content := range contents(leaf) {
		path := filepath.Join(dir, name)
		if info, err := os.Lstat(path); err == nil && info.IsDir() {
			must(t, os.Remove(path))
		}
		replace(t, path, content)
	}
}

// lines are those of a log, as they come.
type lines chan string

func (c lines) Write(p []byte) (int, error) {
	c <- string(p)
	return len(p), nil
}

// next takes the next line, which has to have both.
func (c lines) next(t testing.TB, what, detail string) {
	t.Helper()
	select {
	case line := <-c:
		if !strings.Contains(line, what) || !strings.Contains(line, detail) {
			t.Fatalf("the log has %q, want %q with %q", line, what, detail)
		}
	case <-time.After(bounded):
		t.Fatalf("not in the log within %v: %q with %q", bounded, what, detail)
	}
}
