//go:build unix

package bench

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// isTerminal reports whether what is written to w can be drawn over.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	sized := false
	raw.Control(func(fd uintptr) {
		size, err := unix.IoctlGetWinsize(int(fd), unix.TIOCGWINSZ)
		sized = err == nil && size.Col > 0
	})
	return sized
}
