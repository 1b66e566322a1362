package upgrader

import (
	"errors"
	"fmt"
	"strings"
)

// Errors that callers may want to tell apart, with errors.Is.
var (
	// ErrNotSupported is returned by New where processes cannot pass on their fds: on Windows.
	ErrNotSupported = errors.New("upgrader: platform does not support graceful restart")

	// ErrNotReady is returned by Upgrade before Ready.
	ErrNotReady = errors.New("upgrader: process is not ready yet")

	// ErrUpgradeInProgress is returned by Upgrade while another upgrade is under way.
	ErrUpgradeInProgress = errors.New("upgrader: upgrade in progress")

	// ErrStopped is returned by Upgrade and Ready when the process is stopping.
	ErrStopped = errors.New("upgrader: terminating")

	// ErrPassedOn is returned by Upgrade in a process that has been upgraded already. The child was asked instead.
	ErrPassedOn = errors.New("upgrader: already upgraded: passed on to the generation in charge")

	// ErrForced is returned by Run when a second signal ended the process before its work was done.
	ErrForced = errors.New("upgrader: stopped by force")
)

// UpgradeError says why an upgrade failed. The process that returns it goes on serving.
type UpgradeError struct {
	Phase  Phase    // how far it got
	Child  int      // the child's pid, 0 where none was started
	Err    error    // the cause
	Stderr []string // the last lines that the child wrote to its standard error

	Generation, PID int // of the process that serves on
}

func (e *UpgradeError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "upgrade failed in %s: ", e.Phase)
	if e.Child != 0 {
		fmt.Fprintf(&b, "child %d ", e.Child)
	}
	fmt.Fprint(&b, e.Err)
	if line := tellingLine(e.Stderr); line != "" {
		fmt.Fprintf(&b, ": %s", line)
	}
	fmt.Fprintf(&b, "; generation %d (pid %d) serves on", e.Generation, e.PID)
	return b.String()
}

// tellingLine returns the last line, or that with which a panic begins.
func tellingLine(lines []string) string {
	for _, line := range lines {
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
			return line
		}
	}
	if len(lines) == 0 {
		return ""
	}
	return lines[len(lines)-1]
}

// Unwrap returns the cause.
func (e *UpgradeError) Unwrap() error { return e.Err }
