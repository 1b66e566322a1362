package relay

import (
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

type engine struct {
	loops   []*loop
	next    atomic.Uint32
	running atomic.Int64
	wg      sync.WaitGroup // loops and OnEnd functions
}

func (e *engine) start(opts Options) error {
	n := opts.Loops
	if n <= 0 {
		n = min(2, runtime.GOMAXPROCS(0))
	}
	for range n {
		l, err := newLoop(e)
		if err != nil {
			e.stop()
			return err
		}
		e.loops = append(e.loops, l)
		e.wg.Go(l.run)
	}
	return nil
}

func (e *engine) stop() error {
	for _, l := range e.loops {
		l.close()
	}
	e.wg.Wait()
	return nil
}

func (e *engine) pick() *loop {
	return e.loops[int(e.next.Add(1))%len(e.loops)]
}

func (e *engine) begin(conns []net.Conn, cfg Config) (*Relay, error) {
	var fds []int
	for _, c := range conns {
		fd, err := takeConn(c)
		if err != nil {
			closeAll(fds)
			for _, c := range conns {
				c.Close()
			}
			return nil, err
		}
		fds = append(fds, fd)
	}
	r := newSession(e.pick(), fds, cfg, time.Now())
	if err := e.admit(r, 0); err != nil {
		return nil, err
	}
	return r, nil
}

// admit hands r to its loop, or closes what it owns. Idle is for how long no byte has moved.
func (e *engine) admit(r *Relay, idle time.Duration) error {
	e.running.Add(1)
	if r.loop.post(func() { r.loop.add(r, idle) }) {
		return nil
	}
	e.running.Add(-1)
	for i := range r.paths() {
		unix.Close(r.ends[i].fd)
		if p := r.flows[i].pipe; p != nil {
			p.close()
		}
	}
	return ErrClosed
}

func (e *engine) list() []*Relay {
	var all []*Relay
	for _, l := range e.loops {
		l.call(func() {
			for r := range l.relays {
				all = append(all, r)
			}
		})
	}
	return all
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// add takes r in. What its sockets are ready for now epoll reports as a first edge.
func (l *loop) add(r *Relay, idle time.Duration) {
	l.now = time.Since(l.start)
	l.relays[r] = struct{}{}
	r.active = l.now - idle
	for i := range r.sockets() {
		l.enter(&r.ends[i])
		if err := l.register(&r.ends[i]); err != nil {
			l.end(r, err)
			return
		}
	}
	if r.cfg.IdleTimeout > 0 {
		l.wheel.arm(&r.timer, r.active+r.cfg.IdleTimeout, l.now)
	}
}

// enter has the loop know e, whose events come from here on.
func (l *loop) enter(e *end) {
	for e.fd >= len(l.ends) {
		l.ends = append(l.ends, make([]*end, len(l.ends)+64)...)
	}
	l.ends[e.fd] = e
}

// register has epoll watch e's socket. It can be called by any goroutine.
func (l *loop) register(e *end) error {
	e.gen = l.gen.Add(1)
	const events = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLPRI | unix.EPOLLET
	ev := unix.EpollEvent{Events: events, Fd: int32(e.fd), Pad: e.gen}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(l.epfd, unix.EPOLL_CTL_ADD, e.fd, &ev))
}

// drop forgets r, and counts it no more.
func (l *loop) drop(r *Relay) {
	l.forget(r)
	l.engine.running.Add(-1)
}

// forget has nothing in the loop refer to r or its sockets any more, but for events of this round, which the generation
// tells.
func (l *loop) forget(r *Relay) {
	r.gone = true
	l.wheel.disarm(&r.timer)
	delete(l.relays, r)
	for i := range r.sockets() {
		if fd := r.ends[i].fd; fd < len(l.ends) && l.ends[fd] == &r.ends[i] {
			l.ends[fd] = nil
		}
	}
}

// end closes r's sockets, with a reset wherever a peer could otherwise think that it has everything.
func (l *loop) end(r *Relay, why error) {
	if r.gone {
		return
	}
	l.drop(r)
	if a := r.attempt.Swap(nil); a != nil {
		a.end()
	}
	stuck := false
	for i := range r.paths() {
		f := &r.flows[i]
		stuck = stuck || f.stuck()
		if f.held > 0 {
			f.pipe.close()
			f.pipe, f.held = nil, 0
		}
		l.release(f)
		f.stash = nil
	}
	for i := range r.sockets() {
		if why != nil && (why != ErrIdle || stuck) {
			reset(r.ends[i].fd)
		}
		// If a copy is open elsewhere, epoll goes on watching it; the generation tells its events, too.
		unix.Close(r.ends[i].fd)
	}
	if r.cfg.OnEnd != nil {
		l.endings.add(r.cfg.OnEnd, Result{Stats: r.stats(), Err: why}, l.now)
	}
}
