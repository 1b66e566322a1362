//go:build unix

package httpproxy

import (
	"syscall"
	"time"
)

// cpuTime is what this process has used, which other processes on the machine distort less than the time that passed.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
