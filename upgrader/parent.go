package upgrader

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/hashicorp/go-multierror"
	"github.com/seed-e3b9a99f/baton/upgrader/internal/control"
	"github.com/seed-e3b9a99f/baton/upgrader/internal/pidfile"
)

// What the process in charge does to be replaced, up to the commit point and back.

// start begins an upgrade: the rest of the phase happens beside the machine, which can break it off.
func (u *Upgrader) start() {
	ctx, cancel := context.WithTimeout(context.Background(), u.opts.UpgradeTimeout)
	c := &childProcess{number: u.machine.child, post: u.machine.post, exited: make(chan struct{})}
	u.child, u.cancelChild = c, cancel
	u.livePID.Store(0)
	u.log.Info("upgrade begins", "program", os.Args[0])
	u.notifyReloading()
	epoch := u.machine.epoch
	go func() {
		defer c.close()
		if err := u.startChild(ctx, c); err != nil {
			u.machine.post(input{ev: evFailed, epoch: epoch, cause: err})
			return
		}
		u.livePID.Store(int64(c.processID()))
		u.machine.post(input{ev: evDone, epoch: epoch})
		c.listen(u.hearDown)
		u.mourn(c)
		<-c.exited // or else it may have what it did not ack
		u.parcels.gone(c.conn)
	}()
}

// startChild finds out whether there may be a child, starts it, and sends it fds and state.
func (u *Upgrader) startChild(ctx context.Context, c *childProcess) error {
	if err := u.checkLiving(); err != nil {
		return err
	}
	if u.opts.Preflight != nil {
		if err := u.opts.Preflight(ctx); err != nil {
			return fmt.Errorf("preflight: %w", err)
		}
	}
	if err := c.launch(); err != nil {
		return err
	}
	m, err := u.manifest(c)
	defer closeFiles(m.files)
	if err != nil {
		return err
	}
	return c.introduce(u.generation+1, m.entries, m.files, u.state.collect())
}

// manifest is what a child is sent. The files are duplicates of our own.
type manifest struct {
	entries []control.Entry
	files   []*os.File
	errs    *multierror.Error
}

func (m *manifest) add(e control.Entry, file syscall.Conn) {
	dup, err := dupConn(file, string(e.Role))
	if err != nil {
		m.errs = multierror.Append(m.errs, fmt.Errorf("pass on %s %s %s: %w", e.Role, e.Name, e.Address, err))
		return
	}
	m.entries, m.files = append(m.entries, e), append(m.files, dup)
}

func (m *manifest) addLease(generation, pid int, file *os.File) {
	m.add(control.Entry{Role: control.RoleLease, Generation: generation, PID: pid}, file)
}

// manifest lists what the child gets. The caller closes its files, also after an error.
func (u *Upgrader) manifest(c *childProcess) (*manifest, error) {
	m := &manifest{}
	m.add(control.Entry{Role: control.RoleStderr}, os.Stderr) // first: the child may need it to say what went wrong
	c.stderr.use(func(pipe *os.File) { m.add(control.Entry{Role: control.RoleStderrPipe}, pipe) })
	c.sent = u.Fds.snapshot()
	for _, x := range c.sent { // the child claims them by their place
		m.add(x.entry(), x.file)
	}
	m.addLease(u.generation, os.Getpid(), u.leaseRead)
	for _, l := range u.inherited.leases {
		if l.alive() {
			m.addLease(l.generation, l.pid, l.file)
		}
	}
	u.linkMu.Lock()
	defer u.linkMu.Unlock()
	for _, up := range u.up {
		conn, theirs, err := control.Pair()
		if err != nil {
			m.errs = multierror.Append(m.errs, err)
			continue
		}
		// The older generation gets one end when the child has committed; the child gets the other now.
		m.add(control.Entry{Role: control.RoleAncestor}, theirs)
		theirs.Close()
		c.successors = append(c.successors, successor{to: up, conn: conn})
	}
	return m, m.errs.ErrorOrNil()
}

// standBy stops accepting and lets the child serve.
func (u *Upgrader) standBy() {
	u.Fds.pause()
	if u.opts.probation() > 0 {
		u.child.send(control.Message{Kind: control.Probation})
	}
	u.log.Info("child is ready", "child", u.child.processID(), "probation", u.opts.probation())
}

// commit gives the service to the child, with the state as it is now.
func (u *Upgrader) commit() {
	c, state := u.child, u.state.collect()
	go func() {
		if err := c.sendState(state); err != nil {
			u.log.Warn("refresh the child's state", "err", err)
		}
		c.send(control.Message{Kind: control.Commit})
	}()
}

// handOver follows the commit point: the child is in charge.
func (u *Upgrader) handOver() {
	c := u.child
	u.replaced = time.Now()
	u.inCharge = false
	u.parcels.hear(c.conn)
	u.replacedBy(c)
	for _, s := range c.successors {
		s.introduce(u.generation+1, c.processID())
	}
	u.parcels.leave() // older generations have heard of the successor before they hear of this
	u.notify(fmt.Sprintf("MAINPID=%d", c.processID()))
	u.log.Info("child is in charge", "child", c.processID())
	epoch := u.machine.epoch
	go func() {
		u.parcels.handOver()
		u.machine.post(input{ev: evDone, epoch: epoch})
	}()
}

// rollBack takes the service back.
func (u *Upgrader) rollBack(from Phase, cause error) {
	u.Fds.resume() // first of all
	u.inCharge = true
	u.setDown(nil, 0)
	u.parcels.stay()
	if from == Committing || from == HandingOver {
		u.restorePIDFile()
	}
	u.notify(daemon.SdNotifyReady, fmt.Sprintf("MAINPID=%d", os.Getpid()))
	if cause == nil {
		cause = fmt.Errorf("was not ready within %s", u.opts.UpgradeTimeout)
	}
	c := u.giveUp(from, cause)
	patience := time.Second
	if from == Probation { // it may have connections to finish
		patience = 100 * time.Millisecond
	}
	waiting := u.machine.take()
	go func() {
		words := c.lastWords(patience)
		err := &UpgradeError{
			Phase: from, Child: c.processID(), Err: cause, Stderr: words, Generation: u.generation, PID: os.Getpid(),
		}
		u.log.Error("upgrade rolled back", "err", err, "child", err.Child, "phase", from.String(), "stderr", words)
		answer(waiting, err)
	}()
}

// giveUp ends the child of an upgrade: at once, or after it has finished what it accepted while it was on probation.
func (u *Upgrader) giveUp(from Phase, cause error) *childProcess {
	c := u.child
	u.child = nil
	u.cancelChild()
	c.release()
	u.livePID.Store(0)
	if from == Probation {
		c.dismiss(cause.Error(), u.opts.DrainTimeout+dismissGrace)
	} else {
		c.kill()
	}
	u.linkMu.Lock()
	u.dismissed = append(u.dismissed, c)
	u.linkMu.Unlock()
	go u.afterwards(c)
	return c
}

// dismissGrace is what a dismissed child gets on top of the drain timeout, which may be longer than ours.
const dismissGrace = 5 * time.Second

// afterwards clears up after a child that was given up.
func (u *Upgrader) afterwards(c *childProcess) {
	if c.started() {
		<-c.exited
		u.removeTemp(c)
	}
	u.linkMu.Lock()
	defer u.linkMu.Unlock()
	for i, other := range u.dismissed {
		if other == c {
			u.dismissed = append(u.dismissed[:i], u.dismissed[i+1:]...)
			return
		}
	}
}

// removeTemp removes what a child that was killed had prepared.
func (u *Upgrader) removeTemp(c *childProcess) {
	if u.opts.PIDFile != "" {
		os.Remove(pidfile.Temp(u.opts.PIDFile, c.processID()))
	}
}

func (u *Upgrader) restorePIDFile() {
	u.pidMu.Lock()
	defer u.pidMu.Unlock()
	if u.pidFile == nil {
		return
	}
	if err := u.pidFile.Restore(); err != nil {
		u.log.Error("the pid file still names a child that was given up: write it by hand", "err", err)
	}
}

// notifyReloading tells a service manager of Type=notify-reload that a change is under way (sd_notify(3)).
func (u *Upgrader) notifyReloading() {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return
	}
	u.notify(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

// kill ends the child of the upgrade under way.
func (u *Upgrader) kill() { u.child.kill() }
