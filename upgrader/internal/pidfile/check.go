package pidfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// RunningError says that another instance owns the file.
type RunningError struct {
	Path string
	PID  int // 0 where the file does not say
}

func (e *RunningError) Error() string {
	pid := "unknown"
	if e.PID > 0 {
		pid = strconv.Itoa(e.PID)
	}
	return fmt.Sprintf("already running, pid %s (%s is locked): stop it first, or use another pid file", pid, e.Path)
}

// Check returns a *RunningError where a process other than the given ones owns path.
func Check(path string, allowed ...int) error {
	if err := checkRegular(path); err != nil {
		return err
	}
	stale, err := lockStale(path, allowed)
	if stale != nil {
		stale.Close()
	}
	return err
}

// checkRegular returns an error where path is there and no regular file.
func checkRegular(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("pid file: %w", err)
	case info.IsDir():
		return fmt.Errorf("pid file %s: is a directory", path)
	case info.Mode()&os.ModeSymlink != 0:
		return fmt.Errorf("pid file %s: is a symbolic link: name the file that it points to", path)
	case !info.Mode().IsRegular():
		return fmt.Errorf("pid file %s: is no regular file", path)
	}
	return nil
}

// settle is how long a lock may outlive its owner, or have none: somebody else has a look at a stale file, or the
// killed owner has forked and its child not reached exec.
const settle = time.Second

// lockStale locks the file that a dead process has left at path; the caller closes it, which unlocks it. It returns nil
// where nothing is there, or an allowed process owns it.
func lockStale(path string, allowed []int) (*os.File, error) {
	for start := time.Now(); ; {
		f, err := openThere(path)
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("pid file: %w", err)
		}
		err = lock(f)
		if err == nil && same(f, path) {
			return f, nil
		}
		pid := readPID(f)
		f.Close()
		if err == nil {
			continue // replaced while we looked
		}
		if !errors.Is(err, errLocked) {
			return nil, fmt.Errorf("pid file %s: %w", path, err)
		}
		if pid > 0 && slices.Contains(allowed, pid) {
			return nil, nil
		}
		if alive(pid) || time.Since(start) > settle {
			return nil, &RunningError{Path: path, PID: pid}
		}
		time.Sleep(settle / 100)
	}
}

// readPID returns 0 where f holds none.
func readPID(f *os.File) int {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 32))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}
