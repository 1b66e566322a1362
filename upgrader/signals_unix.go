//go:build unix

package upgrader

import (
	"os"
	"os/signal"
	"syscall"
)

// DefaultSignals returns the usual map: HUP upgrades, TERM and INT stop, USR1 and USR2 switch maintenance mode on and
// off.
func DefaultSignals() SignalMap {
	return SignalMap{
		syscall.SIGHUP:  ActionUpgrade,
		syscall.SIGTERM: ActionStop,
		syscall.SIGINT:  ActionStop,
		syscall.SIGUSR1: ActionMaintenanceOn,
		syscall.SIGUSR2: ActionMaintenanceOff,
	}
}

// keepWriting keeps a service from dying with whoever reads its log. Unlike an ignored signal, a caught one is not
// inherited by the processes that it starts.
func keepWriting() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }
