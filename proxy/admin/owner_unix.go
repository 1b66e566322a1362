//go:build unix

package admin

import (
	"fmt"
	"os"
	"syscall"
)

// owner names who may open a socket.
func owner(socket string) string {
	info, err := os.Stat(socket)
	if err != nil {
		return "its owner" // in a directory that is closed to us
	}
	return fmt.Sprintf("uid %d", info.Sys().(*syscall.Stat_t).Uid)
}
