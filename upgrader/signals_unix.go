//go:build unix

package upgrader

import "syscall"

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
