package bench

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// Rolling installs another binary before each upgrade.
type Rolling struct {
	// Path is the file that the server runs when it upgrades. It is replaced by rename, which needs the right to write
	// in its folder. If it is a symbolic link, the link is replaced. The binary that was installed last stays.
	Path string
	// Binaries take turns, from the first.
	Binaries []string

	turn int
}

func (r *Rolling) validate() error {
	if len(r.Binaries) == 0 {
		return errors.New("rolling: no binaries: give one or more to install in turn")
	}
	for _, file := range append(slices.Clone(r.Binaries), r.Path) {
		if err := runnable(file); err != nil {
			return fmt.Errorf("rolling: %w", err)
		}
	}
	for _, binary := range r.Binaries {
		if sameFile(binary, r.Path) && len(r.Binaries) > 1 {
			return fmt.Errorf("rolling: %s is the server's own file, and is gone once another is installed there: "+
				"give a copy that lies elsewhere", binary)
		}
	}
	return nil
}

// next installs the binary whose turn it is, and returns its path.
func (r *Rolling) next() (string, error) {
	binary := r.Binaries[r.turn%len(r.Binaries)]
	r.turn++
	if err := install(binary, r.Path); err != nil {
		return binary, fmt.Errorf("install %s as %s: %w", binary, r.Path, err)
	}
	return binary, nil
}

// runnable checks that a file can be executed.
func runnable(path string) error {
	if path == "" {
		return errors.New("say which file the server runs")
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no file", path)
	case executableBits && info.Mode()&0o111 == 0:
		return fmt.Errorf("%s cannot be executed: chmod +x", path)
	default:
		return nil
	}
}

func sameFile(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(one, other)
}

// install puts a copy of a file at path, whole at every moment, and with the mode of the file.
func install(file, path string) error {
	from, err := os.Open(file)
	if err != nil {
		return err
	}
	defer from.Close()
	info, err := from.Stat()
	if err != nil {
		return err
	}
	return replace(path, info.Mode().Perm(), nil, from)
}

// replace puts a file at path by rename, so that whoever opens it finds the old one or the new one. A program that runs
// keeps the old one, and no ETXTBSY is met. The new file belongs to whom the file of owner belongs to, unless that is nil.
func replace(path string, mode os.FileMode, owner os.FileInfo, content io.Reader) (err error) {
	to, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.new")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			to.Close()
			os.Remove(to.Name())
		}
	}()
	if _, err := io.Copy(to, content); err != nil {
		return err
	}
	if owner != nil {
		giveTo(to, owner)
	}
	if err := to.Chmod(mode); err != nil {
		return err
	}
	if err := to.Sync(); err != nil {
		return err
	}
	if err := to.Close(); err != nil {
		return err
	}
	return os.Rename(to.Name(), path)
}

// keepsake is what lay at a path before the bench put something else there for a while.
type keepsake struct{ path, kept string }

// keep gives a file a second name beside the first, from which putBack restores it, owner and all. It keeps a symbolic
// link as one.
func keep(path string) (keepsake, error) {
	k := keepsake{path, path + ".before-bench"}
	err := os.Link(k.path, k.kept)
	if errors.Is(err, os.ErrExist) {
		return k, fmt.Errorf("keep %s: %s is left from a bench that was killed: put it back by mv, or remove it", path, k.kept)
	}
	if err != nil {
		return k, fmt.Errorf("keep %s: %w (run the bench as the file's owner, on a file system with hard links)", path, err)
	}
	return k, nil
}

// putBack restores the file. After an error it still lies at its second name.
func (k keepsake) putBack() error {
	if err := os.Rename(k.kept, k.path); err != nil {
		return fmt.Errorf("put %s back: %w; it lies at %s", k.path, err, k.kept)
	}
	// rename(2) does nothing if both names are one file, as when nothing had been put in its place.
	if err := os.Remove(k.kept); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
