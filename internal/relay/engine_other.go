//go:build !linux

package relay

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// engine runs relays on two goroutines each. They cannot move.
type engine struct {
	mu      sync.Mutex
	relays  map[*Relay]struct{}
	closed  bool
	running atomic.Int64
	wg      sync.WaitGroup // relays, with their OnEnd functions
}

// A session is a relay's state.
type session struct {
	cfg    Config
	since  time.Time
	conns  []net.Conn
	moved  [2]atomic.Uint64
	active atomic.Int64 // when the last byte moved, after since
	stuck  atomic.Int32 // writes under way

	mu   sync.Mutex
	err  error
	over bool
}

func (e *engine) start(Options) error {
	e.relays = make(map[*Relay]struct{})
	return nil
}

func (e *engine) stop() error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	for _, r := range e.list() {
		r.abort()
	}
	e.wg.Wait()
	return nil
}

func (e *engine) list() []*Relay {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []*Relay
	for r := range e.relays {
		all = append(all, r)
	}
	return all
}

func (e *engine) begin(conns []net.Conn, cfg Config) (*Relay, error) {
	r := &Relay{session{cfg: cfg, since: time.Now(), conns: conns}}
	if err := e.admit(r); err != nil {
		for _, c := range conns {
			c.Close()
		}
		return nil, err
	}
	return r, nil
}

func (e *engine) admit(r *Relay) error {
	for _, c := range r.conns {
		if _, ok := c.(closeWriter); !ok {
			return fmt.Errorf("relay: %T is neither a TCP nor a Unix connection", c)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return ErrClosed
	}
	e.relays[r] = struct{}{}
	e.running.Add(1)
	e.wg.Go(func() { e.run(r) })
	return nil
}

func (e *engine) resume(st State, _ Config) (*Relay, error) {
	st.Close()
	return nil, fmt.Errorf("relay: import: %w", errors.ErrUnsupported)
}

// run is a relay's life.
func (e *engine) run(r *Relay) {
	stopIdle := r.watchIdle()
	var flows sync.WaitGroup
	for i, src := range r.conns {
		dst := r.conns[(i+1)%len(r.conns)]
		flows.Go(func() {
			if end, err := r.pass(dst, src, &r.moved[i]); err != nil {
				names := map[net.Conn]string{r.conns[len(r.conns)-1]: "upstream", r.conns[0]: "client"}
				r.end(&SideError{names[end], err})
			}
		})
	}
	flows.Wait()
	stopIdle()
	r.end(nil)
	e.mu.Lock()
	delete(e.relays, r)
	e.running.Add(-1)
	e.mu.Unlock()
	if r.cfg.OnEnd != nil {
		r.cfg.OnEnd(Result{Stats: r.stats(), Err: r.err})
	}
}

type closeWriter interface{ CloseWrite() error }

var buffers = sync.Pool{New: func() any { return new([maxStash]byte) }}

// pass moves src's stream to dst, its end included. An error comes with the connection that had it.
func (r *Relay) pass(dst, src net.Conn, moved *atomic.Uint64) (net.Conn, error) {
	buf := buffers.Get().(*[maxStash]byte)
	defer buffers.Put(buf)
	for {
		n, err := src.Read(buf[:])
		if n > 0 {
			r.stuck.Add(1)
			sent, err := dst.Write(buf[:n])
			r.stuck.Add(-1)
			moved.Add(uint64(sent))
			r.active.Store(int64(time.Since(r.since)))
			if err != nil {
				return dst, err
			}
		}
		if err == io.EOF {
			return dst, dst.(closeWriter).CloseWrite()
		}
		if err != nil {
			return src, err
		}
	}
}

// watchIdle ends r when it has been idle for too long. The function that it returns waits until it does not any more.
func (r *Relay) watchIdle() (stop func()) {
	if r.cfg.IdleTimeout <= 0 {
		return func() {}
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			left := r.cfg.IdleTimeout - (time.Since(r.since) - time.Duration(r.active.Load()))
			if left <= 0 {
				r.end(ErrIdle)
				return
			}
			select {
			case <-time.After(left):
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
	}
}

// end closes the connections, and the first call says why.
func (r *Relay) end(why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return
	}
	r.over, r.err = true, why
	doubt := why != nil && (why != ErrIdle || r.stuck.Load() > 0)
	for _, c := range r.conns {
		if l, ok := c.(interface{ SetLinger(int) error }); ok && doubt {
			_ = l.SetLinger(0)
		}
		c.Close()
	}
}

func (r *Relay) export() (State, error) {
	return State{}, fmt.Errorf("relay: export: %w", errors.ErrUnsupported)
}

func (r *Relay) abort() { r.end(ErrAborted) }

func (s *session) stats() Stats {
	return Stats{Up: s.moved[0].Load(), Down: s.moved[1].Load(), Since: s.since}
}
