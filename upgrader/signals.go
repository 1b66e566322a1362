package upgrader

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
)

// Action is what a signal asks for.
type Action uint8

// The actions that a signal can be mapped to.
const (
	ActionIgnore         Action = iota
	ActionUpgrade               // one at a time; one that comes meanwhile runs after it
	ActionStop                  // the second ends the process at once
	ActionMaintenanceOn         // see SetMaintenance
	ActionMaintenanceOff        //
	actions
)

var actionNames = [actions]string{"ignore", "upgrade", "stop", "maintenance-on", "maintenance-off"}

func (a Action) String() string {
	if a < actions {
		return actionNames[a]
	}
	return "unknown action"
}

// SignalMap says what each signal asks for. A signal that is not in it keeps its meaning.
type SignalMap map[os.Signal]Action

func (m SignalMap) String() string {
	var parts []string
	for sig, action := range m {
		parts = append(parts, fmt.Sprintf("%v: %s", sig, action))
	}
	return strings.Join(parts, ", ")
}

// HandleSignals acts on signals as Options.Signals says, until the returned function is called. Run does this for you.
//
// HUP that reaches a process which has been replaced is passed on to the generation in charge, and so is the first
// TERM or INT; whoever sent it may have read the pidfile a moment before the upgrade.
func (u *Upgrader) HandleSignals() (stop func()) {
	var watched []os.Signal
	for sig, action := range u.opts.Signals {
		if action < actions {
			watched = append(watched, sig)
		}
	}
	if len(watched) == 0 { // Notify would take this for all signals
		return func() {}
	}
	s := &signals{u: u, in: make(chan os.Signal, 16), next: make(chan os.Signal, 256), quit: make(chan struct{})}
	signal.Notify(s.in, watched...)
	u.handlesSignals.Store(true)
	s.running.Add(2)
	go s.receive()
	go s.work()
	return sync.OnceFunc(s.stop)
}

type signals struct {
	u       *Upgrader
	in      chan os.Signal
	next    chan os.Signal // for those that wait for a hook
	quit    chan struct{}
	running sync.WaitGroup
	stops   int
}

// receive keeps hearing signals while a hook runs, so that a second TERM always works.
func (s *signals) receive() {
	defer s.running.Done()
	defer close(s.next)
	for {
		select {
		case sig := <-s.in:
			s.sort(sig)
		case <-s.quit:
			for { // what came before the process was done is not lost
				select {
				case sig := <-s.in:
					s.sort(sig)
				default:
					return
				}
			}
		}
	}
}

func (s *signals) sort(sig os.Signal) {
	if s.u.opts.Signals[sig] == ActionStop {
		if s.stops++; s.stops > 1 {
			s.u.log.Warn("second signal: stopping at once", "signal", sig.String())
			s.u.machine.post(input{ev: evForce, cause: ErrForced})
			return
		}
	}
	select {
	case s.next <- sig:
	default:
		s.u.log.Error("too many signals wait for BeforeSignal: dropped one", "signal", sig.String())
	}
}

func (s *signals) work() {
	defer s.running.Done()
	for sig := range s.next {
		s.handle(sig)
	}
}

func (s *signals) handle(sig os.Signal) {
	u, action := s.u, s.u.opts.Signals[sig]
	if before := u.opts.BeforeSignal; before != nil {
		if err := before(sig, action); err != nil {
			u.log.Warn("signal not acted on", "signal", sig.String(), "action", action.String(), "why", err)
			return
		}
	}
	u.log.Info("signal", "signal", sig.String(), "action", action.String(), "phase", u.Phase().String())
	result := make(chan error, 1)
	if err := u.act(action, result); err != nil {
		u.log.Warn("signal", "signal", sig.String(), "action", action.String(), "err", err)
		result <- err
	}
	if after := u.opts.AfterSignal; after != nil {
		go func() { after(sig, action, <-result) }()
	}
}

func (s *signals) stop() {
	close(s.quit)
	s.running.Wait()
	s.u.machine.handled() // what came last has been passed on
	signal.Stop(s.in)
}

// act does what a signal asks for. The outcome goes to result, unless that is nil or an error is returned.
func (u *Upgrader) act(action Action, result chan<- error) error {
	done := func(err error) {
		if result != nil {
			result <- err
		}
	}
	switch action {
	case ActionUpgrade:
		in := input{ev: evUpgrade, signal: true}
		if result != nil {
			in.reply = []chan<- error{result}
		}
		u.machine.post(in)
	case ActionStop:
		u.machine.post(input{ev: evStop, signal: true})
		go func() {
			<-u.done
			done(nil)
		}()
	case ActionMaintenanceOn, ActionMaintenanceOff:
		u.SetMaintenance(action == ActionMaintenanceOn)
		if err := u.pass(action); err != nil && !errors.Is(err, ErrStopped) { // it may be the child's by now
			return err
		}
		done(nil)
	case ActionIgnore:
		done(nil)
	default:
		return fmt.Errorf("signal is mapped to %s", action)
	}
	return nil
}
