//go:build !unix

package upgrader

import (
	"os"
	"syscall"
)

func dupConn(syscall.Conn, string) (*os.File, error) { return nil, ErrNotSupported }

func closeOnExec(int) {}
