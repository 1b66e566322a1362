package tlsreload

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	calm     = 5 * time.Millisecond // for the rest of what has just begun to change
	rewatch  = 10 * time.Second     // a folder may come back unseen
	maxLinks = 40                   // as the kernel allows (path_resolution(7))
)

// Watch has changed called when a file's folder changes, or one of those that its symbolic links lead through. It
// returns when ctx ends, and at once where the system cannot watch, or no more than it does.
func (f *Files) Watch(ctx context.Context, changed func()) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return
	}
	defer w.Close()
	f.watchFolders(w)
	changed() // what has changed until now went unseen
	tick := time.NewTicker(rewatch)
	defer tick.Stop()
	var settled <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.watchFolders(w)
		case _, ok := <-w.Events:
			if !ok {
				return
			}
			if settled == nil {
				settled = time.After(calm)
			}
		case _, ok := <-w.Errors: // the queue has overflowed, say
			if !ok {
				return
			}
			changed()
		case <-settled:
			settled = nil
			f.watchFolders(w)
			changed()
		}
	}
}

// watchFolders has w watch what the paths lead through now, and nothing else.
func (f *Files) watchFolders(w *fsnotify.Watcher) {
	want := make(map[string]bool)
	for _, path := range f.paths() {
		folders(path, want)
	}
	have := make(map[string]bool)
	for _, dir := range w.WatchList() {
		if have[dir] = true; !want[dir] {
			_ = w.Remove(dir)
		}
	}
	for dir := range want {
		// Adding again is cheap, and takes up a folder that was replaced by another of its name.
		_ = w.Add(dir)
	}
}

// folders collects the folders in which something decides what path leads to: that of the file, those of symbolic links
// on the way, and where something is missing, the last one there is.
func folders(path string, found map[string]bool) {
	path, err := filepath.Abs(path)
	if err != nil {
		return
	}
	links := 0
	done := filepath.VolumeName(path) + string(filepath.Separator)
	rest := strings.Split(strings.TrimPrefix(path, done), string(filepath.Separator))
	for len(rest) > 0 {
		next := filepath.Join(done, rest[0])
		info, err := os.Lstat(next)
		switch {
		case err != nil:
			found[done] = true
			return
		case info.Mode()&os.ModeSymlink != 0:
			found[done] = true
			target, err := os.Readlink(next)
			if links++; err != nil || links > maxLinks {
				return
			}
			if !filepath.IsAbs(target) {
				target = filepath.Join(done, target)
			}
			done = filepath.VolumeName(target) + string(filepath.Separator)
			rest = append(strings.Split(strings.TrimPrefix(target, done), string(filepath.Separator)), rest[1:]...)
		case len(rest) == 1:
			found[done] = true
			return
		default:
			done, rest = next, rest[1:]
		}
	}
}
