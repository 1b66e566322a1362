//go:build !unix

package bench

import (
	"os/exec"
	"syscall"
)

// ParseSignal returns an error, since signals cannot be sent here.
func ParseSignal(string) (syscall.Signal, error) { return 0, errNoSignals }

func signalPID(int, syscall.Signal) error { return errNoSignals }

func endAsGroup(*exec.Cmd) {}
