package upgrader

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/seed-e3b9a99f/baton/upgrader/internal/control"
	"github.com/seed-e3b9a99f/baton/upgrader/internal/pidfile"
)

// What a process does until it is in charge. A first start goes the same way, with nobody to tell.

// listenUp hears the parent and older generations, until they have gone.
func (u *Upgrader) listenUp(conn *control.Conn) {
	isParent := conn == u.inherited.conn
	for {
		m, err := conn.Receive()
		if errors.Is(err, control.ErrLostFiles) && m.Kind == control.Parcel {
			_ = u.parcels.arrive(conn, m, err)
			continue
		}
		if err != nil {
			u.forgetUp(conn)
			if isParent {
				u.machine.post(input{ev: evParentGone})
			}
			return
		}
		switch {
		case m.Kind == control.Pass:
			u.passedOn(m)
		case m.Kind == control.Parcel:
			if err := u.parcels.arrive(conn, m, nil); err != nil {
				u.log.Warn("receive a parcel", "err", err)
			}
			continue // the files are the receiver's
		case isParent:
			u.hearParent(m)
		}
		closeFiles(m.Files) // a newer release's
	}
}

func (u *Upgrader) hearParent(m control.Message) {
	switch m.Kind {
	case control.Probation:
		u.machine.post(input{ev: evServe})
	case control.State:
		u.state.refresh(m)
	case control.Commit:
		u.machine.post(input{ev: evCommit})
	case control.Abort:
		var reason control.Reason
		_ = control.Decode(m, &reason)
		u.machine.post(input{ev: evAbort, cause: fmt.Errorf("the parent took the service back: %s", reason.Text)})
	}
}

func (u *Upgrader) forgetUp(conn *control.Conn) {
	u.linkMu.Lock()
	defer u.linkMu.Unlock()
	for i, c := range u.up {
		if c == conn {
			u.up = append(u.up[:i], u.up[i+1:]...)
			break
		}
	}
	conn.Close()
}

// preparePIDFile finds out, while nothing has been done yet, whether the pidfile can be written.
func (u *Upgrader) preparePIDFile() error {
	if u.opts.PIDFile == "" {
		return nil
	}
	if err := pidfile.Check(u.opts.PIDFile, u.inherited.parentPID); err != nil {
		return err
	}
	pending, err := pidfile.Prepare(u.opts.PIDFile)
	if err != nil {
		return err
	}
	u.pidMu.Lock()
	defer u.pidMu.Unlock()
	u.pending = pending
	return nil
}

func (u *Upgrader) announce() {
	defer close(u.announced)
	u.Fds.mu.Lock()
	claim := control.Claim{Indexes: u.Fds.claimed}
	u.Fds.mu.Unlock()
	claim.Paths = u.Fds.paths()
	link := u.inherited.link
	if link == nil || link.announce(claim) != nil {
		u.machine.post(input{ev: evParentGone})
		return
	}
	if _, old := link.(tableflipParent); old { // it has no probation to put us on
		u.machine.post(input{ev: evCommit})
	}
	u.log.Info("ready", "parent", u.inherited.parentPID)
}

// beginProbation serves, and asks the health function until the parent has decided.
func (u *Upgrader) beginProbation() {
	u.Fds.resume()
	if u.opts.Health == nil {
		return
	}
	epoch := u.machine.epoch
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		<-u.settled
	}()
	go func() {
		for ctx.Err() == nil {
			if err := u.opts.Health(ctx); err != nil && ctx.Err() == nil {
				u.machine.post(input{ev: evFailed, epoch: epoch, cause: fmt.Errorf("unhealthy: %w", err)})
				return
			}
			select {
			case <-time.After(healthInterval):
			case <-ctx.Done():
			}
		}
	}()
}

const healthInterval = 50 * time.Millisecond

// takeOver makes the service ours, for everybody to see.
func (u *Upgrader) takeOver() {
	first := u.inherited.link == nil
	if !first {
		u.Fds.resume() // the parent has stopped accepting, or died
	}
	epoch := u.machine.epoch
	go func() {
		err := u.takePIDFile(first)
		if err != nil && !first && u.parentHasGone() {
			u.log.Error("serving without a pid file, because the parent has gone", "err", err)
			err = nil
		}
		if err != nil {
			u.machine.post(input{ev: evFailed, epoch: epoch, cause: err})
			return
		}
		if err := u.inherited.restoreStderr(); err != nil {
			u.log.Error("standard error still goes through the parent", "err", err)
		}
		u.state.deliver()
		u.notify(daemon.SdNotifyReady, fmt.Sprintf("MAINPID=%d", os.Getpid()))
		u.machine.post(input{ev: evDone, epoch: epoch})
	}()
}

func (u *Upgrader) takePIDFile(first bool) error {
	u.pidMu.Lock()
	defer u.pidMu.Unlock()
	if u.pending == nil { // there is none, or the process is at its end already
		return nil
	}
	take := u.pending.Replace
	if first {
		take = u.pending.Create
	}
	u.pending = nil
	f, err := take()
	if err == nil {
		u.pidFile = f
	}
	return err
}

// parentHasGone tells whether the channel to the parent has ended. An old parent cannot take the service back either.
func (u *Upgrader) parentHasGone() bool {
	u.linkMu.Lock()
	defer u.linkMu.Unlock()
	for _, c := range u.up {
		if c == u.inherited.conn {
			return false
		}
	}
	return true
}

// tookOver begins to serve as the one in charge.
func (u *Upgrader) tookOver() {
	u.inCharge = true
	u.Fds.closeInherited(u.parentHasGone())
	u.Fds.resume()
	if link := u.inherited.link; link != nil {
		if err := link.committed(); err != nil {
			u.log.Warn("the parent went away before it could be told that this process has taken over", "err", err)
		}
	}
	u.log.Info("in charge", "parent", u.inherited.parentPID)
	close(u.charged)
	close(u.settled)
}

// notify tells the service manager, where there is one (sd_notify(3)).
func (u *Upgrader) notify(states ...string) {
	for _, s := range states {
		if _, err := daemon.SdNotify(false, s); err != nil {
			u.log.Warn("tell the service manager", "state", s, "err", err)
		}
	}
}
