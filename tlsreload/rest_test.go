//go:build linux || darwin

package tlsreload

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/seed-e3b9a99f/baton/internal/testca"
)

// looked is a source that counts, and has something done after it was first read.
type looked struct {
	Source
	n    int
	then func()
}

func (l *looked) Load(ctx context.Context) (Contents, error) {
	c, err := l.Source.Load(ctx)
	if l.n++; l.n == 1 && l.then != nil {
		l.then()
	}
	return c, err
}

// ago is how long nobody has written files that are at rest.
const ago = time.Hour

// aged has nobody have written the files since age ago.
func aged(t testing.TB, age time.Duration, paths ...string) {
	t.Helper()
	for _, path := range paths {
		must(t, os.Chtimes(path, time.Time{}, time.Now().Add(-age)))
	}
}

// What may be half-written is read again after a while, files that nobody has written lately at once, and what is in
// memory not at all.
func TestLooksTwiceWhereItMayBeHalfWritten(t *testing.T) {
	ca := testca.New(t, "ca")
	leaf := ca.Issue(t, testca.Request{})
	for name, test := range map[string]struct {
		age    map[string]time.Duration // of files that are not an hour old
		staple bool                     // is asked for, and missing
		source func(*Files) Source
		more   []Source
		looks  int
		pause  time.Duration
	}{
		"static":                   {source: func(*Files) Source { return Static(leaf.TLS)[0] }, looks: 1},
		"old files":                {looks: 2},
		"files just old enough":    {age: map[string]time.Duration{"tls.crt": quiet, "tls.key": quiet, "ca.pem": quiet}, looks: 2},
		"files hardly old":         {age: map[string]time.Duration{"tls.crt": quiet - time.Second}, looks: 2, pause: settle},
		"a new certificate":        {age: map[string]time.Duration{"tls.crt": 0}, looks: 2, pause: settle},
		"a new key":                {age: map[string]time.Duration{"tls.key": 0}, looks: 2, pause: settle},
		"a new bundle":             {age: map[string]time.Duration{"ca.pem": 0}, looks: 2, pause: settle},
		"a file of times to come":  {age: map[string]time.Duration{"tls.key": -ago}, looks: 2, pause: settle},
		"a new file, and static":   {more: Static(leaf.TLS), age: map[string]time.Duration{"tls.crt": 0}, looks: 2, pause: settle},
		"old files, and static":    {more: Static(leaf.TLS), looks: 2},
		"a staple that is missing": {staple: true, looks: 2, pause: settle},
		"another source": {looks: 2, pause: settle, source: func(*Files) Source {
			return &changing{Contents: Contents{Certificates: []Certificate{{Name: "a", TLS: &leaf.TLS}}}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				cert, key := leaf.Write(t, dir)
				bundle := filepath.Join(dir, "ca.pem")
				write(t, bundle, ca.PEM)
				aged(t, ago, cert, key, bundle)
				for name, age := range test.age {
					aged(t, age, filepath.Join(dir, name))
				}
				files := &Files{Certificates: []FilePair{{Cert: cert, Key: key}}, ClientCAs: []string{bundle}}
				if test.staple {
					files.Certificates[0].Staple = filepath.Join(dir, "staple")
				}
				var source Source = files
				if test.source != nil {
					source = test.source(files)
				}
				l := &looked{Source: source}
				begin := time.Now()
				// The clock of this test is in the past.
				if _, err := Check(t.Context(), Options{Sources: append([]Source{l}, test.more...), Allow: Allow{NotYetValid: true}}); err != nil {
					t.Fatal(err)
				}
				if pause := time.Since(begin); l.n != test.looks || pause != test.pause {
					t.Errorf("%d looks in %v, want %d in %v", l.n, pause, test.looks, test.pause)
				}
			})
		})
	}
}

// Whatever changes between the two looks of the start: New refuses, or waits until it is whole.
func TestStartWhileFilesChange(t *testing.T) {
	ca := testca.New(t, "ca")
	first, second := issueChain(t, ca), issueChain(t, ca)
	leafOnly := first.Cert[:bytes.Index(first.Cert, []byte("-----END CERTIFICATE-----\n"))+len("-----END CERTIFICATE-----\n")]
	for name, test := range map[string]struct {
		age    time.Duration // of the files that are found
		before func(t *testing.T, cert, key string)
		after  func(t *testing.T, cert, key string)
		want   testca.Leaf
	}{
		"the chain is being written": {
			before: func(t *testing.T, cert, _ string) { write(t, cert, leafOnly) },
			after:  func(t *testing.T, cert, _ string) { write(t, cert, first.Cert) },
			want:   first,
		},
		"old files are replaced": {
			age:   ago,
			after: func(t *testing.T, cert, key string) { bring(t, second, cert, key) },
			want:  second,
		},
		"an old certificate is replaced, and then its key": {
			age:    ago,
			before: func(t *testing.T, cert, _ string) { bring(t, second, cert, "") },
			after:  func(t *testing.T, _, key string) { bring(t, second, "", key) },
			want:   second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, wait := range []bool{false, true} {
				cert, key := first.Write(t, t.TempDir())
				if test.before != nil {
					test.before(t, cert, key)
				}
				if test.age != 0 {
					aged(t, test.age, cert, key)
				}
				l := &looked{Source: unseen{Pair(cert, key)[0]}, then: func() { test.after(t, cert, key) }}
				r, err := New(t.Context(), Options{
					Sources: []Source{l}, Wait: wait, Interval: time.Hour, Logger: slog.New(slog.DiscardHandler),
				})
				if !wait {
					if err == nil || !strings.Contains(err.Error(), errUnsteady.Error()) {
						t.Errorf("%v, want %v", err, errUnsteady)
					}
					if err == nil {
						r.Close()
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				served := r.current.Load().certs[0].tls
				if !served.Leaf.Equal(test.want.X509) || len(served.Certificate) != 2 {
					t.Errorf("serial %s is served with a chain of %d", serial(served.Leaf), len(served.Certificate))
				}
				r.Close()
			}
		})
	}
}

// bring puts files in the place of cert and key, unless that is "", that were written long before, as mv does.
func bring(t testing.TB, leaf testca.Leaf, cert, key string) {
	t.Helper()
	for path, content := range map[string][]byte{cert: leaf.Cert, key: leaf.Key} {
		if path == "" {
			continue
		}
		write(t, path+".new", content)
		aged(t, ago, path+".new")
		must(t, os.Rename(path+".new", path))
	}
}

// A file that is written while it is read is not at rest, however old it was before.
func TestWrittenWhileItIsRead(t *testing.T) {
	now := time.Now()
	_, info, err := readOpen(&writtenMeanwhile{written: now.Add(-ago), now: now}, "f", maxFile)
	must(t, err)
	if resting(info, now) {
		t.Errorf("last written %v ago, it says", now.Sub(info.ModTime()))
	}
}

// writtenMeanwhile is an empty file that somebody writes to while it is read.
type writtenMeanwhile struct{ written, now time.Time }

func (w *writtenMeanwhile) Stat() (fs.FileInfo, error) {
	return fstest.MapFS{"f": {ModTime: w.written}}.Stat("f")
}

func (w *writtenMeanwhile) Read([]byte) (int, error) {
	w.written = w.now
	return 0, io.EOF
}

func (w *writtenMeanwhile) Close() error { return nil }
