package upgrader

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-e3b9a99f/baton/upgrader/internal/control"
	"github.com/seed-e3b9a99f/baton/upgrader/internal/pidfile"
)

// Upgrader handles zero downtime upgrades and passing files between processes.
type Upgrader struct {
	*Fds

	opts        Options
	log         *slog.Logger
	generation  int
	machine     *machine
	state       state
	observer    observer
	work        work // what a drain waits for, beside connections
	maintenance maintenance
	servers     httpServers
	parcels     parcels
	tickets     ticketKeys

	inherited *inheritance
	leaseRead *os.File // for our children; the write end lives as long as this process
	leaseHeld *os.File

	readyOnce sync.Once
	readyErr  error
	announced chan struct{} // closed when the parent, if any, has been told that this process is ready
	settled   chan struct{} // closed when this process is in charge, or never will be
	unsettled error         // why it never will be; read it after settled
	charged   chan struct{} // closed when this process is in charge
	exit      chan struct{} // closed when the program should finish
	done      chan struct{} // closed when nothing is left to do
	replaced  time.Time     // when the child took over; read it after exit
	drainEnds time.Time     // when what is left is closed; read it after exit
	forGood   bool          // nobody comes after this process; read it after exit
	forced    bool          // by a second signal; read it after done

	// Owned by the machine's goroutine.
	child       *childProcess // of the upgrade under way
	cancelChild context.CancelFunc
	inCharge    bool

	pidMu   sync.Mutex // the pidfile is written outside the machine's goroutine
	pending *pidfile.Pending
	pidFile *pidfile.File

	linkMu    sync.Mutex
	down      *control.Conn // to the generation in charge, once that is not this one
	downPID   int
	replacers map[*control.Conn]bool // generations that have told us by whom they were replaced
	up        []*control.Conn        // to the parent and older generations
	dismissed []*childProcess        // given up, not gone yet

	handlesSignals atomic.Bool

	livePID atomic.Int64 // of the child of the upgrade under way, or the one in charge
}

var (
	onlyMu sync.Mutex
	only   *Upgrader // also keeps the lease from being collected
)

// New creates a new Upgrader, and takes over what a parent passes on. It must be called once, early in main: until
// then, the fds from the parent would leak into processes that the program starts.
//
// A write to standard output or standard error that nobody reads any more is an error from now on, and no longer ends
// the process (SIGPIPE, see package os/signal).
//
// Only the first call to this function will succeed. It returns ErrNotSupported on Windows, and an error that says
// "already running, pid N" where another instance has locked Options.PIDFile.
func New(opts Options) (*Upgrader, error) {
	onlyMu.Lock()
	defer onlyMu.Unlock()

	if runtime.GOOS == "windows" {
		return nil, ErrNotSupported
	}
	if only != nil {
		return nil, errors.New("upgrader: only a single Upgrader allowed")
	}
	if startedIn == "" {
		return nil, errors.New("upgrader: the working directory that the process was started in is unknown")
	}
	keepWriting()
	in, err := inherit()
	if err != nil {
		return nil, fmt.Errorf("upgrader: %w", err)
	}
	u, err := newUpgrader(opts, in)
	if err != nil {
		if in.link != nil {
			in.link.refuse(err)
		}
		return nil, fmt.Errorf("upgrader: %w", err)
	}
	only = u
	return u, nil
}

func newUpgrader(opts Options, in *inheritance) (*Upgrader, error) {
	opts.setDefaults()
	if opts.PIDFile != "" && !filepath.IsAbs(opts.PIDFile) {
		opts.PIDFile = filepath.Join(startedIn, opts.PIDFile)
	}
	u := &Upgrader{
		Fds: newFds(&opts), opts: opts, generation: in.generation, inherited: in,
		log:       opts.Logger.With("generation", in.generation, "pid", os.Getpid()),
		announced: make(chan struct{}), settled: make(chan struct{}),
		charged: make(chan struct{}), exit: make(chan struct{}), done: make(chan struct{}),
	}
	u.observer.tell = opts.OnPhase
	u.parcels.init(u.charged, u.exit)
	_ = u.parcels.onParcel(kindHTTP, func(p Parcel) error { return u.servers.receive(u.Fds, p) })
	u.OnHandover(u.servers.handOver)
	if opts.PIDFile != "" {
		if err := pidfile.Check(opts.PIDFile, in.parentPID); err != nil {
			return nil, err
		}
	}
	var err error
	if u.leaseRead, u.leaseHeld, err = os.Pipe(); err != nil {
		return nil, err
	}
	for place, e := range in.fds {
		u.Fds.inherit(place, e, in.files[place])
	}
	u.state.inherit(&in.blobs)
	u.machine = newMachine(&u.opts, u.log, u)
	go u.machine.run()
	u.up = append(u.up, in.ancestors...)
	for _, conn := range in.ancestors {
		go u.listenUp(conn)
	}
	if in.conn != nil {
		u.up = append(u.up, in.conn)
		go u.listenUp(in.conn)
	}
	u.restoreMaintenance()
	u.keepTickets()
	return u, nil
}

// Ready signals that the current process is ready to accept connections. It must be called to finish the upgrade, and
// by a first start, whose named listeners accept from now on.
//
// It returns once the parent has been told, or without a parent once the pidfile is written. The pidfile of a child
// names it when it is in charge. An error means that this process will not serve: a pidfile that cannot be written, a
// second instance, a stop that came first. The parent, told the reason, serves on; the caller should exit.
func (u *Upgrader) Ready() error {
	u.readyOnce.Do(func() { u.readyErr = u.ready() })
	return u.readyErr
}

func (u *Upgrader) ready() error {
	if err := u.preparePIDFile(); err != nil {
		if u.inherited.link != nil {
			u.inherited.link.refuse(err)
		}
		return fmt.Errorf("upgrader: %w", err)
	}
	u.machine.post(input{ev: evReady})
	select {
	case <-u.announced:
	case <-u.settled: // stopped before it was ready
		return u.unsettled
	}
	if u.inherited.link != nil {
		return nil
	}
	<-u.settled
	return u.unsettled
}

// Exit returns a channel which is closed when the process should exit: because it has been replaced, or stopped. The
// program then finishes what it serves; what Serve, Go and named listeners know of is finished for it, see Done.
func (u *Upgrader) Exit() <-chan struct{} { return u.exit }

// Done returns a channel which is closed when everything that Serve, Go and named listeners know of is finished, or
// DrainTimeout has passed, or a second signal forced the end. The program should then return from main.
func (u *Upgrader) Done() <-chan struct{} { return u.done }

// Stop prevents any more upgrades from happening, and closes the Exit channel. A child of an upgrade under way is
// ended.
//
// In the process that is in charge, the service ends: listeners close when their accept queues are empty, the paths of
// Unix sockets and the pidfile are removed. In a child that is not in charge yet, Stop leaves all that to the parent,
// which serves on. In a process that has been replaced it does nothing: programs may defer it.
func (u *Upgrader) Stop() { u.machine.post(input{ev: evStop}) }

// Upgrade starts the program anew and hands the service over to it. It returns nil when the new process is in charge;
// this one should then exit, see Exit. An error that is an *UpgradeError says why the new process was refused, and
// this one serves on.
func (u *Upgrader) Upgrade() error {
	result := make(chan error, 1)
	u.machine.post(input{ev: evUpgrade, reply: []chan<- error{result}})
	return <-result
}

// WaitForParent blocks until the parent has exited. It returns nil at once where there never was one, and ctx's error
// when ctx ends first.
func (u *Upgrader) WaitForParent(ctx context.Context) error {
	for _, l := range u.inherited.leases {
		if l.generation != u.generation-1 {
			continue
		}
		select {
		case <-l.gone:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// InCharge returns a channel which is closed when this process is in charge of the service: for what must not begin
// before, such as jobs that run once. It stays open in a child that is refused.
func (u *Upgrader) InCharge() <-chan struct{} { return u.charged }

// HasParent checks if the current process is an upgrade or the first invocation.
func (u *Upgrader) HasParent() bool { return u.inherited.link != nil }

// Generation returns which generation of the service this process is. The first is 1.
func (u *Upgrader) Generation() int { return u.generation }

// Phase returns where this process stands.
func (u *Upgrader) Phase() Phase { return u.machine.read() }

// ChildPID returns the pid of the child of an upgrade under way, or of the process that has replaced this one, and 0
// where there is none.
func (u *Upgrader) ChildPID() int { return int(u.livePID.Load()) }

// Living returns the pids of the other generations that still live: those older than this one, and its child.
func (u *Upgrader) Living() []int {
	var pids []int
	for _, l := range u.inherited.leases {
		if l.alive() {
			pids = append(pids, l.pid)
		}
	}
	u.linkMu.Lock()
	defer u.linkMu.Unlock()
	for _, c := range u.dismissed {
		if !c.hasExited() {
			pids = append(pids, c.processID())
		}
	}
	return pids
}

func (u *Upgrader) checkLiving() error {
	pids := u.Living()
	if len(pids)+2 <= u.opts.MaxGenerations { // with this process and the new one
		return nil
	}
	return fmt.Errorf("%d generations live already and at most %d may: wait until pids %v have drained, "+
		"or lower the drain timeout", len(pids)+1, u.opts.MaxGenerations, pids)
}

// phaseChanged tells the log and the program.
func (u *Upgrader) phaseChanged(from, to Phase, cause error) {
	u.log.Debug("phase", "phase", to.String(), "from", from.String(), "cause", cause)
	u.observer.add(PhaseChange{
		Generation: u.generation, PID: os.Getpid(), From: from, To: to, Child: u.ChildPID(), Err: cause, At: time.Now(),
	})
}

// enter does what a move asks for. It runs on the machine's goroutine.
func (u *Upgrader) enter(from, to Phase, cause error) {
	switch to {
	case Announced:
		u.announce()
	case OnProbation:
		u.beginProbation()
	case TakingOver:
		u.takeOver()
	case Serving:
		if from == TakingOver {
			u.tookOver()
		} else {
			u.rollBack(from, cause)
		}
	case Starting:
		u.start()
	case Probation:
		u.standBy()
	case Committing:
		u.commit()
	case HandingOver:
		u.handOver()
	case Draining:
		u.drainAway()
	case Stopping:
		u.stop(from, cause)
	case Exited:
		u.finish(from, cause)
	}
}
