//go:build unix

package upgrader

import (
	"os"
	"syscall"

	"github.com/seed-e3b9a99f/baton/upgrader/internal/control"
)

// spawn starts a process with files as its first fds. The caller still owns them.
func spawn(path string, argv []string, dir string, env []string, files []*os.File) (pid int, err error) {
	err = control.WithFds(files, func(fds []int) error {
		attr := &syscall.ProcAttr{Dir: dir, Env: env}
		for _, fd := range fds {
			attr.Files = append(attr.Files, uintptr(fd))
		}
		pid, _, err = syscall.StartProcess(path, argv, attr)
		return err
	})
	return pid, err
}
