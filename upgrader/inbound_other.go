//go:build !unix

package upgrader

import "syscall"

func queued(syscall.Conn) bool { return false }
