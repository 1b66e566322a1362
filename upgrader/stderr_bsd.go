//go:build unix && !linux

package upgrader

import (
	"os"

	"github.com/seed-e3b9a99f/baton/upgrader/internal/control"
	"golang.org/x/sys/unix"
)

func replaceStderr(with *os.File) error {
	return control.WithFds([]*os.File{with}, func(fds []int) error {
		return os.NewSyscallError("dup2", unix.Dup2(fds[0], 2))
	})
}
