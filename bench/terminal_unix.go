//go:build unix

package bench

import (
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// terminalSize returns the size of the terminal that w is, or 0, 0 if what is written to w cannot be drawn over.
func terminalSize(w io.Writer) (columns, lines int) {
	f, ok := w.(syscall.Conn) // a file, or what stands before one
	if !ok || os.Getenv("TERM") == "dumb" {
		return 0, 0
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, 0
	}
	raw.Control(func(fd uintptr) {
		if size, err := unix.IoctlGetWinsize(int(fd), unix.TIOCGWINSZ); err == nil {
			columns, lines = int(size.Col), int(size.Row)
		}
	})
	return columns, lines
}
