//go:build !unix

package upgrader

import (
	"os"
	"syscall"
)

// DefaultSignals returns the usual map, as far as this platform has the signals.
func DefaultSignals() SignalMap {
	return SignalMap{syscall.SIGTERM: ActionStop, os.Interrupt: ActionStop}
}

func keepWriting() {}
