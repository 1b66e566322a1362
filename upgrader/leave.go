package upgrader

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/seed-e3b9a99f/baton/upgrader/internal/control"
)

// How a process ends: replaced by its child, or stopped.

// drainAway finishes what could not move to the child.
func (u *Upgrader) drainAway() {
	c := u.child
	c.release()
	u.cancelChild()
	claimed := make(map[*fd]bool)
	for _, place := range c.claim.Indexes {
		if place >= 0 && place < len(c.sent) {
			claimed[c.sent[place]] = true
		}
	}
	u.Fds.leave(func(x *fd) bool { return claimed[x] }, c.claim.Paths)
	u.leavePIDFile()
	u.drain()
}

// stop ends the service, or in a child that is not in charge its part in it.
func (u *Upgrader) stop(from Phase, cause error) {
	if cause == nil {
		cause = ErrStopped
	}
	if !u.inCharge {
		u.unsettled = cause
		close(u.settled)
		if link := u.inherited.link; link != nil {
			link.refuse(cause)
		}
		u.log.Info("stopping before this process was in charge", "reason", cause)
	} else {
		u.log.Info("stopping", "drain_timeout", u.opts.DrainTimeout)
		u.notify(daemon.SdNotifyStopping)
	}
	if u.child != nil {
		u.giveUp(from, cause)
	}
	u.forGood = u.inCharge
	u.Fds.leave(u.parentHas, nil)
	u.drain()
}

// parentHas tells whether an fd is the parent's too, in a child that is not in charge.
func (u *Upgrader) parentHas(x *fd) bool { return !u.inCharge && x.parents }

// drain tells the program to finish, and reports when it has.
func (u *Upgrader) drain() {
	u.drainEnds = time.Now().Add(u.opts.DrainTimeout)
	close(u.exit)
	epoch := u.machine.epoch
	go func() {
		u.parcels.settle() // no connection comes uncounted
		all := u.Fds.watched()
		for _, a := range all {
			a.waitEmptied()
		}
		for _, a := range all {
			a.Close() // those that are not named; one may have been wrapped around one that was emptied
		}
		for _, a := range all {
			<-a.conns.none()
		}
		u.work.wait()
		if !u.forGood && u.handlesSignals.Load() {
			time.Sleep(time.Until(u.replaced.Add(forwardFor)))
		}
		u.machine.post(input{ev: evDone, epoch: epoch})
	}()
}

// forwardFor is how long a process that was replaced stays at least, for signals from those who have just read its pid.
const forwardFor = 250 * time.Millisecond

// finish is the end: nothing is left to do, or there is no more time for it.
func (u *Upgrader) finish(from Phase, cause error) {
	u.forced = errors.Is(cause, ErrForced)
	if from != Draining && from != Stopping { // a second signal came without the first
		if u.child != nil && u.inCharge { // or else it is the child's service
			u.dropChild(u.child)
		}
		u.Fds.leave(u.parentHas, nil)
		if !u.inCharge && from < Serving {
			u.unsettled = ErrForced
			close(u.settled)
		}
		close(u.exit)
	}
	for _, a := range u.Fds.watched() {
		a.logUnfinished(u)
	}
	u.leavePIDFile()
	u.log.Info("finished", "was", from.String())
	close(u.done)
}

// logUnfinished closes the connections that outlast the drain, and says how many there were.
func (a *acceptor) logUnfinished(u *Upgrader) {
	since := a.conns.oldest()
	a.Close()
	if n := a.conns.closeAll(); n > 0 {
		u.log.Warn("closed connections that were still open at the end of the drain",
			"listener", a.label, "connections", n, "since", since, "oldest", time.Since(since).Round(time.Millisecond))
	}
}

// dropChild ends a child at once. It may have written the pidfile already.
func (u *Upgrader) dropChild(c *childProcess) {
	c.kill()
	if c.started() {
		select {
		case <-c.exited:
		case <-time.After(time.Second):
		}
	}
	u.removeTemp(c)
	u.restorePIDFile()
}

// mourn says that the generation in charge has died, if that is what its hanging up means.
func (u *Upgrader) mourn(c *childProcess) {
	u.machine.handled() // the service may have been taken back
	u.linkMu.Lock()
	inCharge := u.down == c.conn
	u.linkMu.Unlock()
	if !inCharge {
		return
	}
	how := errors.New("hung up")
	select {
	case <-c.exited:
		how = c.status
		if status := (&exec.ExitError{}); !errors.As(how, &status) {
			return // it was stopped
		}
	case <-time.After(time.Second):
	}
	u.log.Error("the generation in charge has died, and nobody serves: start the service again",
		"child", c.processID(), "how", how)
}

// leavePIDFile removes the pidfile, if it is still this process's.
func (u *Upgrader) leavePIDFile() {
	u.pidMu.Lock()
	defer u.pidMu.Unlock()
	if u.pending != nil {
		u.pending.Discard()
		u.pending = nil
	}
	if u.pidFile == nil {
		return
	}
	if err := u.pidFile.Remove(); err != nil {
		u.log.Warn("remove the pid file", "err", err)
	}
	u.pidFile = nil
}

func (u *Upgrader) setDown(conn *control.Conn, pid int) {
	u.linkMu.Lock()
	defer u.linkMu.Unlock()
	u.down, u.downPID = conn, pid
	u.livePID.Store(int64(pid))
}

// replacedBy makes the child the one that signals and parcels go to: unless it was replaced itself before this process
// came to hear of its commit.
func (u *Upgrader) replacedBy(c *childProcess) {
	u.linkMu.Lock()
	defer u.linkMu.Unlock()
	if u.replacers[c.conn] {
		return
	}
	u.down, u.downPID = c.conn, c.processID()
	u.livePID.Store(int64(u.downPID))
}

// hearDown hears the generation in charge.
func (u *Upgrader) hearDown(from *control.Conn, m control.Message) {
	switch m.Kind {
	case control.Successor:
		u.succeeded(from, m)
	case control.ParcelAck:
		u.parcels.acked(from, m)
	default:
		closeFiles(m.Files)
	}
}

// succeeded hears that the generation which replaced this one has been replaced too, and by which.
func (u *Upgrader) succeeded(from *control.Conn, m control.Message) {
	var who control.Greeting
	if err := control.Decode(m, &who); err != nil || len(m.Files) != 1 {
		closeFiles(m.Files)
		return
	}
	conn, err := control.New(m.Files[0])
	if err != nil {
		u.log.Warn("signals will not reach the newest generation", "err", err)
		return
	}
	u.parcels.hear(conn)
	u.setDown(conn, who.PID)
	u.linkMu.Lock()
	if u.replacers == nil {
		u.replacers = make(map[*control.Conn]bool)
	}
	u.replacers[from] = true
	u.linkMu.Unlock()
	go func() {
		defer conn.Close()
		defer u.parcels.gone(conn) // it ends with the process
		for {
			m, err := conn.Receive()
			if err != nil {
				return
			}
			u.hearDown(conn, m)
		}
	}()
}

// pass sends on a signal that is meant for the generation in charge.
func (u *Upgrader) pass(action Action) error {
	u.linkMu.Lock()
	down, pid := u.down, u.downPID
	u.linkMu.Unlock()
	if down == nil {
		return ErrStopped
	}
	payload := control.Encode(control.Passed{Action: action.String()})
	if err := down.Send(control.Message{Kind: control.Pass, Payload: payload}); err != nil {
		u.log.Error("a signal for the generation in charge got lost: send it again", "action", action.String(),
			"child", pid, "err", err)
		return fmt.Errorf("pass %s on to pid %d: %w", action, pid, err)
	}
	u.log.Info("passed on to the generation in charge", "action", action.String(), "child", pid)
	return nil
}

// passedOn acts on a signal that an older generation got. A stop counts once, however often it comes this way: a
// service manager sends it to every process of the service.
func (u *Upgrader) passedOn(m control.Message) {
	var p control.Passed
	if err := control.Decode(m, &p); err != nil {
		return
	}
	i := slices.Index(actionNames[:], p.Action)
	if i < 0 {
		u.log.Warn("an older generation passed on what this one does not know", "action", p.Action)
		return
	}
	if err := u.act(Action(i), nil); err != nil && !errors.Is(err, ErrStopped) {
		u.log.Warn("passed on by an older generation", "action", p.Action, "err", err)
	}
}
