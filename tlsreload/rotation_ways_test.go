//go:build linux || darwin

package tlsreload

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/internal/testca"
)

// way is one of the ways in which people and programs bring a new certificate to root/live/tls.crt and tls.key.
type way struct {
	// put writes number n; number 0 finds root empty.
	put    func(t testing.TB, root string, n int, leaf testca.Leaf)
	source func(*Files) Source // nil is Files as it is
	wait   bool                // number 0 comes after New has been called
	polled bool                // there are no events
}

// between is how long some take from the one file of a pair to the other.
const between = 60 * time.Millisecond

var ways = map[string]way{
	"rename over": {put: renameOver},
	"write in place": {put: func(t testing.TB, root string, _ int, leaf testca.Leaf) {
		mkdir(t, root, "live")
		leaf.Write(t, filepath.Join(root, "live"))
	}},
	"backup and new file": {put: func(t testing.TB, root string, n int, leaf testca.Leaf) { // vim, backupcopy=no
		live := mkdir(t, root, "live")
		for name, content := range contents(leaf) {
			path := filepath.Join(live, name)
			if n > 0 {
				must(t, os.Rename(path, path+"~"))
			}
			write(t, path, content)
			if n > 0 {
				must(t, os.Remove(path+"~"))
			}
		}
	}},
	"kubernetes": {put: func(t testing.TB, root string, n int, leaf testca.Leaf) {
		live := mkdir(t, root, "live")
		leaf.Write(t, mkdir(t, live, fmt.Sprintf("..2026_%d", n)))
		flip(t, fmt.Sprintf("..2026_%d", n), filepath.Join(live, "..data"))
		if n == 0 {
			for name := range contents(leaf) {
				must(t, os.Symlink(filepath.Join("..data", name), filepath.Join(live, name)))
			}
			return
		}
		must(t, os.RemoveAll(filepath.Join(live, fmt.Sprintf("..2026_%d", n-1))))
	}},
	"symlink of the folder": {put: func(t testing.TB, root string, n int, leaf testca.Leaf) {
		leaf.Write(t, mkdir(t, root, fmt.Sprint(n)))
		flip(t, fmt.Sprint(n), filepath.Join(root, "live"))
	}},
	"symlink of each file": {put: func(t testing.TB, root string, n int, leaf testca.Leaf) { // as certbot has it
		live := mkdir(t, root, "live")
		archive := fmt.Sprintf("archive-%d", n)
		leaf.Write(t, mkdir(t, root, archive))
		for name := range contents(leaf) {
			flip(t, filepath.Join("..", archive, name), filepath.Join(live, name))
		}
	}},
	"folder replaced": {put: func(t testing.TB, root string, n int, leaf testca.Leaf) {
		live := filepath.Join(root, "live")
		leaf.Write(t, mkdir(t, root, "next"))
		if n > 0 {
			must(t, os.Rename(live, filepath.Join(root, fmt.Sprint(n))))
		}
		must(t, os.Rename(filepath.Join(root, "next"), live))
	}},
	"folder appears later": {wait: true, put: func(t testing.TB, root string, _ int, leaf testca.Leaf) {
		must(t, os.RemoveAll(filepath.Join(root, "live")))
		time.Sleep(between) // with nothing there
		leaf.Write(t, mkdir(t, root, "live"))
	}},
	"no events": {put: renameOver, polled: true, source: func(f *Files) Source { return silent{f} }},
	"written long before": {polled: true, source: func(f *Files) Source { return silent{f} }, // so that no look pauses
		put: func(t testing.TB, root string, _ int, leaf testca.Leaf) {
			live := mkdir(t, root, "live")
			bring(t, leaf, filepath.Join(live, "tls.crt"), filepath.Join(live, "tls.key"))
		}},
	"certificate before key":   {put: inTwoSteps("tls.crt", "tls.key")},
	"key before certificate":   {put: inTwoSteps("tls.key", "tls.crt")},
	"read while it is written": {put: renameOver, wait: true, source: func(f *Files) Source { return &unfinished{Files: f} }},
}

func renameOver(t testing.TB, root string, _ int, leaf testca.Leaf) {
	live := mkdir(t, root, "live")
	for name, content := range contents(leaf) {
		replace(t, filepath.Join(live, name), content)
	}
}

func inTwoSteps(first, second string) func(testing.TB, string, int, testca.Leaf) {
	return func(t testing.TB, root string, n int, leaf testca.Leaf) {
		live := mkdir(t, root, "live")
		replace(t, filepath.Join(live, first), contents(leaf)[first])
		if n > 0 {
			time.Sleep(between)
		}
		replace(t, filepath.Join(live, second), contents(leaf)[second])
	}
}

// silent is files of which nobody tells when they change, such as those of NFS.
type silent struct{ files *Files }

func (s silent) Load(ctx context.Context) (Contents, error) { return s.files.Load(ctx) }

// unfinished is files that are always met while the chain is being written: at first, only the leaf is there. It
// matches its key and is PEM as it should be, so that only a second look can tell.
type unfinished struct {
	*Files
	seen []byte
}

func (u *unfinished) Load(ctx context.Context) (Contents, error) {
	c, err := u.Files.Load(ctx)
	if err != nil || len(c.Certificates[0].Chain) == 0 || bytes.Equal(c.Certificates[0].Chain, u.seen) {
		return c, err
	}
	u.seen = c.Certificates[0].Chain
	_, rest := pem.Decode(u.seen)
	c.Certificates[0].Chain = u.seen[:len(u.seen)-len(rest)]
	return c, nil
}

// contents are a pair's files. A map has no order, and so either file is now and then the first to be written.
func contents(leaf testca.Leaf) map[string][]byte {
	return map[string][]byte{"tls.crt": leaf.Cert, "tls.key": leaf.Key}
}

func mkdir(t testing.TB, parent, name string) string {
	t.Helper()
	dir := filepath.Join(parent, name)
	must(t, os.MkdirAll(dir, 0o700))
	return dir
}

// replace puts a whole file in the place of another.
func replace(t testing.TB, path string, content []byte) {
	t.Helper()
	write(t, path+".new", content)
	must(t, os.Rename(path+".new", path))
}

// flip has the symbolic link at path lead to target, from one moment to the next.
func flip(t testing.TB, target, path string) {
	t.Helper()
	must(t, os.Symlink(target, path+".new"))
	must(t, os.Rename(path+".new", path))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
