// Package pidfile keeps a file that names the process in charge: replaced whole, locked by its owner, and gone when
// the service stops.
//
// The lock (flock(2)) is on the file itself, and a new owner locks its own file before it renames it over the old one.
// So the file at the path is locked at every moment that a service runs, and a file that nobody has locked is what a
// killed process has left behind.
//
// A path is made absolute where it is first used. What is there must be a regular file or nothing: a symbolic link
// would be replaced, and whoever reads the file it points to would read the wrong pid.
package pidfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// File is a pidfile that this process owns.
type File struct {
	path string
	f    *os.File // holds the lock
}

// Path returns where the file is, absolute.
func (f *File) Path() string { return f.path }

// Restore writes the file back after another process has replaced or removed it.
func (f *File) Restore() error {
	if same(f.f, f.path) {
		return nil
	}
	p, err := Prepare(f.path)
	if err != nil {
		return err
	}
	restored, err := p.Replace()
	if err != nil {
		return err
	}
	f.f.Close()
	f.f = restored.f
	return nil
}

// Remove deletes the file if it is still this process's, and gives up the lock. One that the next generation has
// replaced stays.
func (f *File) Remove() error {
	defer f.f.Close()
	if !same(f.f, f.path) {
		return nil
	}
	// Another process may replace the file after that look. So take away what is there, and only then decide.
	old := Temp(f.path, os.Getpid()) + oldSuffix
	if err := os.Rename(f.path, old); err != nil {
		return fmt.Errorf("pid file: %w", err)
	}
	if same(f.f, old) {
		return os.Remove(old)
	}
	err := link(old, f.path)
	if err != nil && !errors.Is(err, os.ErrExist) {
		return os.Rename(old, f.path) // no hard links here
	}
	return os.Remove(old)
}

func same(f *os.File, path string) bool {
	ours, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(path)
	return err == nil && os.SameFile(ours, there)
}

// syncDir makes a rename durable. A file system that cannot do so has still renamed.
func syncDir(path string) {
	if d, err := os.Open(filepath.Dir(path)); err == nil {
		_ = d.Sync()
		d.Close()
	}
}
