package upgrader

import (
	"log/slog"
	"sync"
	"time"
)

// effects is what a process does when the machine moves. Its methods run on the machine's goroutine, must not block
// for long, and report the end of longer work as an event.
type effects interface {
	enter(from, to Phase, cause error)
	pass(Action) error // to the generation in charge
	kill()             // the child
	phaseChanged(from, to Phase, cause error)
}

// input is an event on its way to the machine.
type input struct {
	ev    event
	cause error
	epoch int // of the phase whose work it reports; 0 for all others
	child int // which child it comes from; 0 for all others

	// signal is set for what is asked of the service and not of this process alone: it may wait for an upgrade to end,
	// and go to the generation in charge. Stop and Upgrade, called by the program, do neither.
	signal bool
	reply  []chan<- error // for evUpgrade: who waits for the outcome

	barrier chan<- struct{} // no event: closed when all before it have been handled
}

// machine is the one goroutine that owns a process's phase. See lifecycle.go for what it does.
type machine struct {
	opts *Options
	log  *slog.Logger
	do   effects

	mu      sync.Mutex
	queue   []input
	current Phase // for readers; the goroutine uses phase
	wake    chan struct{}
	quit    chan struct{}
	stopped chan struct{}

	// The goroutine's own.
	phase       Phase
	epoch       int // counts phases, so that work which reports too late is not heard
	child       int // counts children, likewise
	timer       *time.Timer
	waiting     []chan<- error // for the upgrade under way
	keptUpgrade bool
	keptReplies []chan<- error
	keptStop    bool // of either kind
	keptSignal  bool // that the stop is one of the service
}

func newMachine(opts *Options, log *slog.Logger, do effects) *machine {
	return &machine{
		opts: opts, log: log, do: do, epoch: 1,
		wake: make(chan struct{}, 1), quit: make(chan struct{}), stopped: make(chan struct{}),
	}
}

// post hands an event to the machine. It never blocks, so that effects may call it too.
func (m *machine) post(in input) {
	m.mu.Lock()
	m.queue = append(m.queue, in)
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// handled waits until everything that was posted so far has been handled.
func (m *machine) handled() {
	done := make(chan struct{})
	m.post(input{barrier: done})
	<-done
}

// read returns the current phase.
func (m *machine) read() Phase {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.current
}

// close ends the goroutine, for tests that make more than one machine.
func (m *machine) close() {
	close(m.quit)
	<-m.stopped
}

func (m *machine) run() {
	defer close(m.stopped)
	for {
		select {
		case <-m.wake:
		case <-m.quit:
			m.stopTimer()
			return
		}
		for {
			m.mu.Lock()
			if len(m.queue) == 0 {
				m.mu.Unlock()
				break
			}
			in := m.queue[0]
			m.queue = m.queue[1:]
			m.mu.Unlock()
			m.handle(in)
		}
	}
}

func (m *machine) handle(in input) {
	if in.barrier != nil {
		close(in.barrier)
		return
	}
	if in.epoch != 0 && in.epoch != m.epoch || in.child != 0 && in.child != m.child {
		return // from a phase or a child that has ended
	}
	v := verdicts[m.phase][in.ev]
	switch v.verb {
	case move:
		m.waiting = append(m.waiting, in.reply...)
		m.enter(v.to, in.cause)
	case later:
		m.keep(in)
	case pass:
		if in.ev == evStop && !in.signal {
			return // tableflip's programs defer Stop: this process is ending as it should
		}
		err := m.passOn(in.ev)
		if err == nil && !in.signal {
			err = ErrPassedOn // whoever called Upgrade asked this process
		}
		answer(in.reply, err)
	case refuse:
		answer(in.reply, ErrStopped)
	case kill:
		m.do.kill()
	case drop:
	default:
		m.log.Error("an event that cannot happen: please report this", "event", in.ev.String(), "phase", m.phase.String())
	}
}

// keep holds a signal back until the upgrade under way has ended. However many come, they mean one.
func (m *machine) keep(in input) {
	switch {
	case in.ev == evStop:
		m.keptStop = true
		m.keptSignal = m.keptSignal || in.signal
	case in.signal:
		m.keptUpgrade = true
		m.keptReplies = append(m.keptReplies, in.reply...)
	case m.phase < Serving:
		answer(in.reply, ErrNotReady)
	default:
		answer(in.reply, ErrUpgradeInProgress)
	}
}

func (m *machine) passOn(ev event) error {
	action := ActionUpgrade
	if ev == evStop {
		action = ActionStop
	}
	return m.do.pass(action)
}

func (m *machine) enter(next Phase, cause error) {
	from := m.phase
	m.mu.Lock()
	m.phase, m.current = next, next
	m.mu.Unlock()
	if from != Starting || next != AwaitingReady { // these two share an epoch, and so a timer
		m.epoch++
		m.stopTimer()
		if d, bounded := m.opts.timeout(next); bounded {
			epoch := m.epoch
			m.timer = time.AfterFunc(d, func() { m.post(input{ev: evTimeout, epoch: epoch}) })
		}
	}
	if next == Starting {
		m.child++
	}
	m.do.enter(from, next, cause)
	m.do.phaseChanged(from, next, cause)
	m.settle()
}

// settle does what was kept for the end of an upgrade. The outcome of a rolled-back upgrade is told by effects, which
// take the waiting along with the cause.
func (m *machine) settle() {
	switch m.phase {
	case Serving:
		if m.keptStop {
			m.handle(input{ev: evStop})
		} else if m.keptUpgrade {
			replies := m.keptReplies
			m.keptUpgrade, m.keptReplies = false, nil
			m.handle(input{ev: evUpgrade, reply: replies, signal: true})
		}
	case Draining:
		answer(m.take(), nil)
		if m.keptUpgrade {
			answer(m.keptReplies, m.passOn(evUpgrade))
		}
		if m.keptSignal {
			m.passOn(evStop)
		}
		m.forget()
	case Stopping, Exited:
		answer(append(m.take(), m.keptReplies...), ErrStopped)
		m.forget()
	}
}

func (m *machine) forget() {
	m.keptUpgrade, m.keptStop, m.keptSignal, m.keptReplies = false, false, false, nil
}

// take returns who waits for the upgrade under way, and forgets them.
func (m *machine) take() []chan<- error {
	waiting := m.waiting
	m.waiting = nil
	return waiting
}

func (m *machine) stopTimer() {
	if m.timer != nil {
		m.timer.Stop()
		m.timer = nil
	}
}

// answer tells everybody who waits; each channel has room for its one answer.
func answer(replies []chan<- error, err error) {
	for _, r := range replies {
		r <- err
	}
}
