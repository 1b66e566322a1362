//go:build unix

package bench

import "golang.org/x/sys/unix"

// RaiseFileLimit lets this process open as many files as the system lets it. On failure the limit stays as it was, and
// what then cannot be opened is counted as the client's own.
func RaiseFileLimit() {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil && limit.Cur < limit.Max {
		limit.Cur = limit.Max
		unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	}
}
