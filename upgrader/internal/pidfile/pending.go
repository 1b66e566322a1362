package pidfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// link is os.Link, which some file systems do not have.
var link = os.Link

// Pending is a complete pidfile beside the path, waiting to take its place.
type Pending struct {
	path, temp string
	f          *os.File // nil when it has taken its place or been discarded
}

// Prepare writes, syncs and locks this process's pidfile beside path. All that can go wrong with the directory goes
// wrong here; Replace is one rename.
func Prepare(path string) (*Pending, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("pid file %s: %w", path, err)
	}
	if err := checkRegular(abs); err != nil {
		return nil, err
	}
	temp := Temp(abs, os.Getpid())
	f, err := createTemp(temp)
	if err != nil {
		return nil, fmt.Errorf("pid file %s: %w", abs, err)
	}
	p := &Pending{path: abs, temp: temp, f: f}
	if err := p.fill(); err != nil {
		p.Discard()
		return nil, fmt.Errorf("pid file %s: %w", abs, err)
	}
	return p, nil
}

func (p *Pending) fill() error {
	if err := p.f.Chmod(0o644); err != nil { // whatever the umask
		return err
	}
	if _, err := fmt.Fprintf(p.f, "%d\n", os.Getpid()); err != nil {
		return err
	}
	return p.f.Sync()
}

// Replace puts the file in the place of whatever is at its path: the caller is the service's next generation. After an
// error the file is discarded.
func (p *Pending) Replace() (*File, error) {
	if err := os.Rename(p.temp, p.path); err != nil {
		p.Discard()
		return nil, fmt.Errorf("pid file: %w", err)
	}
	return p.placed(), nil
}

func (p *Pending) placed() *File {
	syncDir(p.path)
	f := &File{path: p.path, f: p.f}
	p.f = nil
	return f
}

// Create puts the file in its place for a first start. It returns a *RunningError where a running instance owns the
// path, even one that starts at this very moment. After an error the file is discarded.
func (p *Pending) Create() (*File, error) {
	for {
		err := link(p.temp, p.path)
		if err == nil {
			os.Remove(p.temp)
			sweep(p.path)
			return p.placed(), nil
		}
		if !errors.Is(err, os.ErrExist) && !errors.Is(err, os.ErrNotExist) {
			err = placeholder(p.path) // no hard links here (vfat, some FUSE)
		}
		if err != nil && !errors.Is(err, os.ErrExist) {
			p.Discard()
			return nil, fmt.Errorf("pid file: %w", err)
		}
		stale, err := lockStale(p.path, nil)
		if err != nil {
			p.Discard()
			return nil, err
		}
		if stale == nil {
			continue // gone since
		}
		owned, err := p.Replace() // while the stale file is locked by us nobody else replaces it
		stale.Close()
		sweep(p.path)
		return owned, err
	}
}

// placeholder puts an empty file at path, for whoever starts and locks it first.
func placeholder(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

// Discard removes a file that will not take its place. After Replace and Create it does nothing.
func (p *Pending) Discard() {
	if p.f == nil {
		return
	}
	os.Remove(p.temp)
	p.f.Close()
	p.f = nil
}
