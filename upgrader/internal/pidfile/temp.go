package pidfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	tempSuffix = ".tmp"
	oldSuffix  = ".old" // of a file that Remove is taking away
)

// Temp returns where Prepare puts the file of process pid until it takes its place, so that whoever survives that
// process can remove it.
func Temp(path string, pid int) string {
	return filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.%d%s", filepath.Base(path), pid, tempSuffix))
}

// createTemp returns a new, locked file. It never writes to one that it finds there, which could be a link that
// somebody has planted, or the pidfile itself under its second name (see Create).
func createTemp(temp string) (*os.File, error) {
	for {
		f, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
		if errors.Is(err, os.ErrExist) {
			err := removeTemp(temp)
			if errors.Is(err, errLocked) { // a live process has our pid too: in another container
				return nil, &RunningError{Path: temp, PID: os.Getpid()}
			}
			if err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		err = lock(f)
		if err == nil && same(f, temp) {
			return f, nil
		}
		f.Close()
		if err != nil && !errors.Is(err, errLocked) {
			os.Remove(temp)
			return nil, err
		}
		// Another process took the file for stale before it was locked.
	}
}

// removeTemp removes what a dead process has left, and returns errLocked where it lives.
func removeTemp(temp string) error {
	f, err := openThere(temp)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := lock(f); err != nil {
		return err
	}
	if !same(f, temp) {
		return nil
	}
	return os.Remove(temp)
}

// sweep removes what killed processes have left beside path; what a live one prepares is locked.
func sweep(path string) {
	dir, base := filepath.Split(path)
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		pid, ours := strings.CutPrefix(e.Name(), "."+base+".")
		pid, temp := strings.CutSuffix(strings.TrimSuffix(pid, oldSuffix), tempSuffix)
		if ours && temp && pid != "" && strings.Trim(pid, "0123456789") == "" {
			_ = removeTemp(filepath.Join(dir, e.Name()))
		}
	}
}
