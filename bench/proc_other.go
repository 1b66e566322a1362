//go:build !linux

package bench

import (
	"errors"
	"os"
	"runtime"
	"syscall"
)

func readProcesses() (map[int]process, error) { return nil, errors.ErrUnsupported }

// readProcess knows only whether a process lives, and takes one that has ended and was not waited for as one that does.
func readProcess(pid int) (p process, err error) {
	found, err := os.FindProcess(pid)
	if err != nil || runtime.GOOS == "windows" {
		return p, err
	}
	defer found.Release()
	if err := found.Signal(syscall.Signal(0)); err != nil && !errors.Is(err, syscall.EPERM) {
		return p, err
	}
	return p, nil
}

func readPSS(int) int64 { return 0 }
