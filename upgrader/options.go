package upgrader

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"
)

// Defaults of Options.
const (
	// DefaultUpgradeTimeout is the duration before the Upgrader kills the new process if no readiness notification
	// was received.
	DefaultUpgradeTimeout = time.Minute

	DefaultProbation      = time.Second
	DefaultCommitTimeout  = 10 * time.Second
	DefaultDrainTimeout   = 30 * time.Second
	DefaultMaxGenerations = 8
)

// NoProbation as Options.Probation commits an upgrade as soon as the child is ready.
const NoProbation time.Duration = -1

// Options control the behaviour of the Upgrader. The zero value is ready to use.
type Options struct {
	// UpgradeTimeout is how long a child may take from its start until it calls Ready; then it is killed and the
	// upgrade has failed. Zero is DefaultUpgradeTimeout.
	UpgradeTimeout time.Duration

	// PIDFile names the process in charge. It is replaced whole, locked against a second instance, and removed when
	// the service stops. A relative path starts at the working directory that the process was started in. Empty for
	// none.
	PIDFile string

	// ListenConfig opens new listeners and packet conns. Nil is the zero ListenConfig.
	ListenConfig *net.ListenConfig

	// Probation is how long a child serves, with the parent standing by, before it owns the service. Zero is
	// DefaultProbation; NoProbation switches it off.
	Probation time.Duration

	// CommitTimeout is how long the child may take to write the pidfile and to say so; then it is killed and the
	// upgrade has failed. Zero is DefaultCommitTimeout.
	CommitTimeout time.Duration

	// DrainTimeout is how long a process finishes what is under way after it was replaced or stopped. What is left is
	// then closed, counted and logged. Zero is DefaultDrainTimeout.
	DrainTimeout time.Duration

	// MaxGenerations is how many processes of the service may live at a time; an upgrade that would start one more is
	// refused. Zero is DefaultMaxGenerations.
	MaxGenerations int

	// Preflight runs in the parent before a child is started. An error refuses the upgrade.
	Preflight func(context.Context) error

	// Health runs in a child on probation, again and again until the probation ends. An error gives the service back
	// to the parent.
	Health func(context.Context) error

	// OnPhase is told of every change of phase, in order, from one goroutine of its own.
	OnPhase func(PhaseChange)

	// Signals says what Run and HandleSignals do for each signal. Nil is DefaultSignals.
	Signals SignalMap

	// BeforeSignal runs before a signal is acted on. An error keeps it from being acted on, and is logged. It does not
	// run for the second signal that stops, which ends the process at once.
	BeforeSignal func(os.Signal, Action) error

	// AfterSignal runs when what the signal asked for has ended, with its error.
	AfterSignal func(os.Signal, Action, error)

	// MaintenancePage answers the requests of Serve in maintenance mode. Nil answers 503 with Retry-After.
	MaintenancePage http.Handler

	// OnMaintenance is told when maintenance mode is switched, and in a child that inherits it switched on.
	OnMaintenance func(on bool)

	// OwnTicketKeys keeps ServeTLS from setting the keys of TLS session tickets, because the program does. Otherwise
	// they pass from one generation to the next, so that clients which reconnect after an upgrade resume.
	OwnTicketKeys bool

	// Logger gets a line for whatever an operator wants to know. Nil is slog.Default.
	Logger *slog.Logger
}

// PhaseChange is what OnPhase is told.
type PhaseChange struct {
	Generation int // of this process; a first start is 1
	PID        int // of this process
	From, To   Phase
	Child      int   // pid of the child in an upgrade, 0 before it runs
	Err        error // why an upgrade was rolled back
	At         time.Time
}

func (o *Options) setDefaults() {
	positive(&o.UpgradeTimeout, DefaultUpgradeTimeout)
	positive(&o.CommitTimeout, DefaultCommitTimeout)
	positive(&o.DrainTimeout, DefaultDrainTimeout)
	if o.Probation == 0 {
		o.Probation = DefaultProbation
	}
	if o.MaxGenerations <= 0 {
		o.MaxGenerations = DefaultMaxGenerations
	}
	if o.ListenConfig == nil {
		o.ListenConfig = &net.ListenConfig{}
	}
	if o.Signals == nil {
		o.Signals = DefaultSignals()
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
}

func positive(d *time.Duration, fallback time.Duration) {
	if *d <= 0 {
		*d = fallback
	}
}

// probation is zero where it is switched off.
func (o *Options) probation() time.Duration { return max(o.Probation, 0) }
