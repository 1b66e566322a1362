package relay

import (
	"encoding/binary"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A loop is one goroutine that waits in epoll_wait and does all the work of its relays. It waits in a system call of
// its own, not in Go's poller: an epoll descriptor nested there costs the tail of the latencies.
type loop struct {
	engine *engine
	epfd   int
	wakefd int // eventfd

	mu      sync.Mutex
	cmds    []func()
	joining []*Relay // connect, and are registered already
	woken   bool     // wakefd has been written to since the loop last took cmds
	closed  bool     // no command is taken any more

	// The loop's own.
	start   time.Time
	now     time.Duration // since start, at the beginning of the round
	buf     []byte
	pipes   pipes
	wheel   wheel
	ends    []*end       // by descriptor
	gen     atomic.Int32 // tells a descriptor's registration from an earlier one of the same number
	relays  map[*Relay]struct{}
	spare   []*Relay // joining's other half
	endings endings
	queue   []*Relay // have more to do without waiting for an event
	quit    bool
}

func newLoop(e *engine) (*loop, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	wakefd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(epfd)
		return nil, os.NewSyscallError("eventfd", err)
	}
	l := &loop{
		engine: e, epfd: epfd, wakefd: wakefd,
		start: time.Now(), buf: make([]byte, maxStash), relays: make(map[*Relay]struct{}),
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(wakefd)}
	if err := unix.EpollCtl(epfd, unix.EPOLL_CTL_ADD, wakefd, &ev); err != nil {
		unix.Close(epfd)
		unix.Close(wakefd)
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	return l, nil
}

// post has the loop run f between two rounds. It returns false if the loop is closed and f will not run.
func (l *loop) post(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.cmds = append(l.cmds, f)
	l.wake()
	return true
}

// call is post, and waits for f.
func (l *loop) call(f func()) bool {
	done := make(chan struct{})
	ok := l.post(func() {
		f()
		close(done)
	})
	if ok {
		<-done
	}
	return ok
}

// close has the loop carry out what was posted and then stop.
func (l *loop) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.cmds = append(l.cmds, func() { l.quit = true })
	l.closed = true
	l.wake()
}

// wake is called with mu held. Nobody reads the eventfd: each write is an edge, and adding ones does not fill it.
func (l *loop) wake() {
	if !l.woken {
		l.woken = true
		_, _ = unix.Write(l.wakefd, one)
	}
}

var one = binary.NativeEndian.AppendUint64(nil, 1)

// run is the loop.
func (l *loop) run() {
	events := make([]unix.EpollEvent, 256)
	for !l.quit {
		n, err := unix.EpollWait(l.epfd, events, l.wait())
		if err != nil && err != unix.EINTR {
			panic(os.NewSyscallError("epoll_wait", err)) // the descriptor was closed under us: nothing can go on
		}
		l.now = time.Since(l.start)
		queue := l.queue
		l.queue = nil
		cmds := l.take()
		for i := range max(n, 0) {
			l.event(&events[i])
		}
		for _, r := range queue {
			r.queued = false
			l.step(r)
		}
		for _, f := range cmds {
			f()
		}
		l.wheel.expire(l.now, l.idle)
		if l.endings.ready(l.now) {
			l.tell()
		}
	}
	for r := range l.relays {
		l.end(r, ErrAborted)
	}
	l.tell()
	l.pipes.close()
	unix.Close(l.epfd)
	unix.Close(l.wakefd)
}

// wait returns epoll_wait's timeout in milliseconds.
func (l *loop) wait() int {
	if len(l.queue) > 0 {
		return 0
	}
	now := time.Since(l.start)
	d := l.wheel.wait(now)
	if d = l.endings.wait(d, now); d < 0 {
		return -1
	}
	return int(min((d+time.Millisecond-1)/time.Millisecond, math.MaxInt32))
}

func (l *loop) event(ev *unix.EpollEvent) {
	if int(ev.Fd) >= len(l.ends) {
		return // the eventfd; its commands are looked for in every round, and its next write is a new edge
	}
	e := l.ends[ev.Fd]
	if e == nil || e.gen != ev.Pad {
		return // for a socket that this round has closed
	}
	if ev.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLPRI) != 0 {
		e.thorough = true
	}
	if ev.Events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLPRI) != 0 {
		e.readable = true
	}
	if ev.Events&(unix.EPOLLOUT|unix.EPOLLHUP) != 0 {
		e.writable = true
	}
	if e.r.connecting() && !l.attempted(e, ev.Events) {
		return
	}
	if ev.Events&unix.EPOLLERR != 0 {
		l.ask(e)
	}
	l.step(e.r)
}

// ask asks for e's error, which the kernel tells once.
func (l *loop) ask(e *end) {
	if errno, err := unix.GetsockoptInt(e.fd, unix.SOL_SOCKET, unix.SO_ERROR); err == nil && errno != 0 {
		e.fail(os.NewSyscallError("socket", unix.Errno(errno)))
	}
}

// step moves what can be moved through r in one turn, and notices its end.
func (l *loop) step(r *Relay) {
	if r.gone {
		return
	}
	more, finished, failed := false, true, false
	for i := range r.paths() {
		f := &r.flows[i]
		more = l.pump(f) || more
		finished = finished && f.finished
	}
	for i := range r.sockets() {
		failed = failed || r.ends[i].failed
	}
	switch {
	case more:
		if !r.queued {
			r.queued = true
			l.queue = append(l.queue, r)
		}
	case finished || failed:
		l.end(r, r.err)
	}
}

// take takes in what connects, and returns what is to be done after this round's events.
func (l *loop) take() []func() {
	l.mu.Lock()
	cmds, joining := l.cmds, l.joining
	l.cmds, l.joining, l.woken = nil, l.spare, false
	l.mu.Unlock()
	for _, r := range joining {
		l.join(r)
	}
	clear(joining)
	l.spare = joining[:0]
	return cmds
}

// idle looks at a relay whose timer has come round.
func (l *loop) idle(r *Relay) {
	if a := r.attempt.Load(); a != nil {
		if deadline := r.active + a.to.Timeout; deadline > l.now {
			l.wheel.arm(&r.timer, deadline, l.now)
			return
		}
		l.giveUp(r, os.ErrDeadlineExceeded)
		return
	}
	if deadline := r.active + r.cfg.IdleTimeout; deadline > l.now {
		l.wheel.arm(&r.timer, deadline, l.now)
		return
	}
	l.end(r, ErrIdle)
}
