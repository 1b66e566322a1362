package upgrader

import (
	"os"

	"github.com/seed-e3b9a99f/baton/upgrader/internal/control"
	"golang.org/x/sys/unix"
)

func replaceStderr(with *os.File) error {
	return control.WithFds([]*os.File{with}, func(fds []int) error {
		return os.NewSyscallError("dup3", unix.Dup3(fds[0], 2, 0)) // arm64 has no dup2
	})
}
