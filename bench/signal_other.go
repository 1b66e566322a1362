//go:build !unix

package bench

import (
	"errors"
	"os/exec"
	"syscall"
)

var errNoSignals = errors.New("signals cannot be sent on this system; upgrade by a command instead")

// ParseSignal returns an error, since signals cannot be sent here.
func ParseSignal(string) (syscall.Signal, error) { return 0, errNoSignals }

func signalPID(int, syscall.Signal) error { return errNoSignals }

func alive(int) bool { return true }

func endAsGroup(*exec.Cmd) {}
