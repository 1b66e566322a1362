//go:build unix

package proxy

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// reloadSignal returns the signal called name, with or without SIG, or nil.
func reloadSignal(name string) os.Signal {
	if name == "" {
		return nil
	}
	if sig := unix.SignalNum("SIG" + strings.TrimPrefix(strings.ToUpper(name), "SIG")); sig != 0 {
		return sig
	}
	return nil
}
