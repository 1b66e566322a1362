//go:build unix

package pidfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// withoutHardLinks makes this process's file systems refuse link(2) until the test ends.
func withoutHardLinks(t *testing.T) {
	link = func(from, to string) error {
		return &os.LinkError{Op: "link", Old: from, New: to, Err: unix.EPERM}
	}
	t.Cleanup(func() { link = os.Link })
}

// Readers that poll see one whole pid or another, at every moment.
func TestReplaceIsAtomic(t *testing.T) {
	path := newPath(t)
	f := create(t, path)
	stop, seen := make(chan struct{}), make(chan error)
	go func() {
		want := fmt.Sprintf("%d\n", os.Getpid())
		for {
			select {
			case <-stop:
				seen <- nil
				return
			default:
			}
			if b, err := os.ReadFile(path); err != nil || string(b) != want {
				seen <- fmt.Errorf("a reader saw %q: %w", b, err)
				return
			}
		}
	}()
	for range 1000 {
		next, err := prepare(t, path).Replace()
		if err != nil {
			t.Fatal(err)
		}
		remove(t, f)
		f = next
	}
	close(stop)
	if err := <-seen; err != nil {
		t.Error(err)
	}
	remove(t, f)
}

func TestSecondInstance(t *testing.T) {
	path := newPath(t)
	first := start(t, "create", path)
	first.run("done")
	_, err := prepare(t, path).Create()
	wantRunning(t, err, first.pid())
	holds(t, path, first.pid())
	first.stop()
}

func TestStaleFileIsTakenOver(t *testing.T) {
	path := newPath(t)
	first := start(t, "create", path)
	first.run("done")
	first.kill()
	holds(t, path, first.pid())
	f := create(t, path)
	holds(t, path, os.Getpid())
	remove(t, f)
}

// What processes were killed over goes at the next start; what a live one prepares, and what is not ours, stays.
func TestLeftoversAreSwept(t *testing.T) {
	path := newPath(t, ".other.pid.7.tmp", ".service.pid..tmp", ".service.pid.x7.tmp")
	dir := filepath.Dir(path)
	dead := deadPID(t)
	for _, name := range []string{
		filepath.Base(Temp(path, dead)), filepath.Base(Temp(path, dead)) + oldSuffix, filepath.Base(Temp(path, os.Getpid())),
		".other.pid.7.tmp", ".service.pid.x7.tmp", ".service.pid..tmp",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("left"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	prepared := start(t, "prepare", path)
	prepared.run("done")
	f := create(t, path)
	if got := names(t, dir); len(got) != 5 {
		t.Errorf("%q, want the live process's, the others', and ours", got)
	}
	remove(t, f)
	prepared.stop()
	f = create(t, path)
	remove(t, f)
}

// A process that was killed between link and unlink has left the pidfile under both names, and in a container the next
// one has its pid.
func TestTempIsLinkToStaleFile(t *testing.T) {
	path := newPath(t)
	for _, name := range []string{path, Temp(path, os.Getpid())} {
		if _, err := os.Lstat(path); err == nil {
			if err := os.Link(path, name); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(name, []byte("1\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f := create(t, path)
	holds(t, path, os.Getpid())
	remove(t, f)
}

// In a directory that anybody may write to, somebody may have planted a link where the temp file goes.
func TestTempIsNotWrittenThroughLink(t *testing.T) {
	path := newPath(t, "victim")
	victim := filepath.Join(filepath.Dir(path), "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	temp := Temp(path, os.Getpid())
	for how, plant := range map[string]func(string, string) error{"symlink": os.Symlink, "link": os.Link} {
		if err := plant(victim, temp); err != nil {
			t.Fatal(err)
		}
		if p, err := Prepare(path); err == nil {
			p.Discard()
		}
		if b, _ := os.ReadFile(victim); string(b) != "precious" {
			t.Errorf("through a %s the other file became %q", how, b)
		}
		_ = os.Remove(temp)
	}
}

func TestConcurrentStarts(t *testing.T) {
	for _, tc := range []struct {
		name  string
		stale bool
	}{{"no file", false}, {"stale file", true}} {
		t.Run(tc.name, func(t *testing.T) {
			path := newPath(t)
			if tc.stale {
				first := start(t, "create", path)
				first.run("done")
				first.kill()
			}
			var all []*process
			for range 20 {
				all = append(all, start(t, "create", path))
			}
			for _, p := range all {
				p.begin()
			}
			var winner int
			refused := make(map[string]int)
			for _, p := range all {
				switch line := p.outcome(); {
				case line == "done" && winner == 0:
					winner = p.pid()
				case strings.HasPrefix(line, "refused by "):
					refused[line]++
				default:
					t.Errorf("process %d: %s", p.pid(), line)
				}
			}
			holds(t, path, winner)
			if n := refused[fmt.Sprint("refused by ", winner)]; n != 19 {
				t.Errorf("winner %d, others: %v", winner, refused)
			}
			for _, p := range all {
				p.stop()
			}
		})
	}
}

// flock(2) is of an open file, so that even goroutines exclude each other.
func TestConcurrentStartsInOneProcess(t *testing.T) {
	for _, hardLinks := range []bool{true, false} {
		t.Run(fmt.Sprint("hard links ", hardLinks), func(t *testing.T) {
			path := newPath(t)
			if !hardLinks {
				withoutHardLinks(t)
			}
			var all sync.WaitGroup
			won := make(chan *File, 20)
			for range 20 {
				all.Go(func() {
					p, err := Prepare(path)
					if err == nil {
						var f *File
						if f, err = p.Create(); err == nil {
							won <- f
							return
						}
					}
					wantRunning(t, err, os.Getpid())
				})
			}
			all.Wait()
			if len(won) != 1 {
				t.Errorf("%d of 20 own the file", len(won))
			}
			for range len(won) {
				remove(t, <-won)
			}
		})
	}
}

func TestWithoutHardLinks(t *testing.T) {
	path := newPath(t)
	withoutHardLinks(t)
	f := create(t, path)
	holds(t, path, os.Getpid())
	_, err := prepare(t, path).Create()
	wantRunning(t, err, os.Getpid())
	holds(t, path, os.Getpid())
	remove(t, f)
}

func TestDiscard(t *testing.T) {
	path := newPath(t)
	p := prepare(t, path)
	if _, err := os.Lstat(Temp(path, os.Getpid())); err != nil {
		t.Error(err)
	}
	p.Discard()
	if got := names(t, filepath.Dir(path)); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
	p = prepare(t, path)
	f, err := p.Create()
	if err != nil {
		t.Fatal(err)
	}
	p.Discard() // as a deferred call would
	wantRunning(t, Check(path), os.Getpid())
	remove(t, f)
}

func TestBadPaths(t *testing.T) {
	path := newPath(t, "dir", "link", "pipe")
	dir := filepath.Dir(path)
	bad := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(os.Mkdir(bad("dir"), 0o755), os.Symlink("nowhere", bad("link")),
		unix.Mkfifo(bad("pipe"), 0o644)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"missing/service.pid": "no such file or directory",
		"dir":                 "is a directory",
		"link":                "is a symbolic link",
		"pipe":                "is no regular file",
	} {
		_, err := Prepare(bad(name))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), bad(name)) {
			t.Errorf("Prepare %s: %v", name, err)
		}
		err = Check(bad(name))
		if missing := strings.HasPrefix(name, "missing"); (err == nil) != missing {
			t.Errorf("Check %s: %v", name, err)
		}
	}
}

// The path may become bad after Prepare has looked at it.
func TestPathBecomesBad(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"directory": func(path string) error { return os.Mkdir(path, 0o755) },
		"dangling":  func(path string) error { return os.Symlink("nowhere", path) },
		"no parent": func(path string) error { return os.RemoveAll(filepath.Dir(path)) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(filepath.Dir(newPath(t)), "run", "service.pid")
			if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			p := prepare(t, path)
			if err := spoil(path); err != nil {
				t.Fatal(err)
			}
			if _, err := p.Create(); err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("Create: %v", err)
			}
			if err := os.RemoveAll(filepath.Dir(path)); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestDirectoryRemovedAfterStart(t *testing.T) {
	path := filepath.Join(filepath.Dir(newPath(t)), "run", "service.pid")
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f := create(t, path)
	p := prepare(t, path)
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Replace(); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Replace: %v", err)
	}
	if err := f.Restore(); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Restore: %v", err)
	}
	remove(t, f) // there is nothing to remove, which is as good
}
