//go:build unix

package pidfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// newPath returns a path in a new directory. The test fails if it leaves an fd open, or anything but want there.
func newPath(t *testing.T, want ...string) string {
	t.Helper()
	dir := t.TempDir()
	before := openFds(t)
	t.Cleanup(func() {
		if after := openFds(t); after != before {
			t.Errorf("%d fds open, %d before the test", after, before)
		}
		if got := names(t, dir); !equal(got, want) {
			t.Errorf("left behind: %q, want %q", got, want)
		}
	})
	return filepath.Join(dir, "service.pid")
}

func names(t *testing.T, dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func equal(a, b []string) bool { return strings.Join(a, "/") == strings.Join(b, "/") }

func openFds(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if errors.Is(err, os.ErrNotExist) {
		return 0 // not Linux
	}
	if err != nil {
		t.Error(err)
	}
	return len(entries)
}

func prepare(t *testing.T, path string) *Pending {
	t.Helper()
	p, err := Prepare(path)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func create(t *testing.T, path string) *File {
	t.Helper()
	f, err := prepare(t, path).Create()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func remove(t *testing.T, f *File) {
	t.Helper()
	if err := f.Remove(); err != nil {
		t.Error(err)
	}
}

// holds fails the test unless path is the whole pidfile of process pid.
func holds(t *testing.T, path string, pid int) {
	t.Helper()
	if b, err := os.ReadFile(path); err != nil || string(b) != strconv.Itoa(pid)+"\n" {
		t.Errorf("%s holds %q (%v), want %d", path, b, err, pid)
	}
}

// wantRunning fails the test unless err says that pid runs.
func wantRunning(t *testing.T, err error, pid int) {
	t.Helper()
	var running *RunningError
	if !errors.As(err, &running) || running.PID != pid || !strings.Contains(err.Error(), fmt.Sprint("pid ", pid)) {
		t.Errorf("got %v, want already running, pid %d", err, pid)
	}
}

func TestContentAndMode(t *testing.T) {
	path := newPath(t)
	defer unix.Umask(unix.Umask(0o077))
	f := create(t, path)
	holds(t, path, os.Getpid())
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o644 {
		t.Errorf("mode %v (%v), want 0644", info.Mode(), err)
	}
	if f.Path() != path {
		t.Errorf("Path is %s, want %s", f.Path(), path)
	}
	if got := names(t, filepath.Dir(path)); !equal(got, []string{"service.pid"}) {
		t.Errorf("beside the file: %q", got)
	}
	remove(t, f)
}

func TestRelativePathSurvivesChdir(t *testing.T) {
	path := newPath(t)
	t.Chdir(filepath.Dir(path))
	p := prepare(t, "service.pid")
	t.Chdir(os.TempDir())
	f, err := p.Create()
	if err != nil {
		t.Fatal(err)
	}
	if f.Path() != path {
		t.Errorf("Path is %s, want %s", f.Path(), path)
	}
	holds(t, path, os.Getpid())
	remove(t, f)
}

func TestRestoreAfterChild(t *testing.T) {
	path := newPath(t)
	f := create(t, path)
	child := start(t, "replace", path)
	child.run("done")
	holds(t, path, child.pid())
	if err := f.Restore(); err != nil { // the child still lives, and holds its lock
		t.Fatal(err)
	}
	holds(t, path, os.Getpid())
	child.stop() // its Remove must not touch our file
	holds(t, path, os.Getpid())
	if err := f.Restore(); err != nil {
		t.Error("Restore of a file that is there:", err)
	}
	second := start(t, "create", path)
	second.run(fmt.Sprint("refused by ", os.Getpid()))
	second.stop()
	remove(t, f)
}

func TestRestoreOfRemovedFile(t *testing.T) {
	path := newPath(t)
	f := create(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := f.Restore(); err != nil {
		t.Fatal(err)
	}
	holds(t, path, os.Getpid())
	remove(t, f)
}

func TestRemoveOnlyOurs(t *testing.T) {
	path := newPath(t)
	f := create(t, path)
	child := start(t, "replace", path)
	child.run("done")
	remove(t, f)
	holds(t, path, child.pid())
	child.stop()
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Error("the child's Remove left its file:", err)
	}
}

// A stop may cross the child's commit: whichever comes first, the child's file stays.
func TestRemoveWhileReplaced(t *testing.T) {
	for _, hardLinks := range []bool{true, false} {
		t.Run(fmt.Sprint("hard links ", hardLinks), func(t *testing.T) {
			path := newPath(t)
			if !hardLinks {
				withoutHardLinks(t)
			}
			for range 500 {
				f := create(t, path)
				p := prepare(t, path)
				removed := make(chan error)
				go func() { removed <- f.Remove() }()
				child, err := p.Replace()
				if err != nil {
					t.Error(err)
				}
				if err := <-removed; err != nil {
					t.Error(err)
				}
				if !same(child.f, path) {
					t.Fatal("the child's file has gone")
				}
				remove(t, child)
			}
		})
	}
}
