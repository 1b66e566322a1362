package relay

import (
	"sync/atomic"
	"time"
)

// A session is a relay's state. Its loop owns it; what other goroutines read is atomic or never changes.
type session struct {
	loop  *loop
	cfg   Config
	since time.Time

	kind    kind
	attempt atomic.Pointer[attempt] // while it connects; the loop's but for whether there is one
	ends    [2]end                  // client, upstream
	flows   [2]flow                 // from the client, from the upstream; as many as kind says

	active time.Duration // when the last byte moved, on the loop's clock
	timer  timer
	queued bool // in the loop's queue of relays that have more to do
	copied bool // imported: another process may have a copy of the sockets
	gone   bool // ended or exported
	err    error
}

// An end is one socket. It is registered once, edge-triggered: readable and writable remember what epoll said until a
// call says otherwise.
type end struct {
	r    *Relay
	fd   int
	gen  int32
	name string

	readable, writable bool
	// thorough: the end of the stream or an urgent mark lies ahead, so that a read that returns less than it might
	// does not mean that there is no more, and no further edge will come.
	thorough bool
	failed   bool // the socket has an error
}

// A flow is one direction.
type flow struct {
	src, dst *end
	moved    atomic.Uint64 // bytes written to dst; only the loop writes it

	full uint8 // reads in a row that filled the buffer
	lean uint8 // splices in a row that did not pay
	bulk bool  // use splice

	eof      bool // src has ended its stream
	finished bool // and dst was told

	// What was read and is not written: first the pipe's bytes, then the stash.
	pipe  *pipe
	held  int
	stash []byte
}

func (f *flow) stuck() bool { return f.held > 0 || len(f.stash) > 0 }

// newSession makes a relay for sockets that are non-blocking and that it owns from here on.
func newSession(l *loop, fds []int, cfg Config, since time.Time) *Relay {
	r := &Relay{session{loop: l, cfg: cfg, since: since, kind: kind(len(fds))}}
	r.timer.r = r
	for i, fd := range fds {
		r.ends[i] = end{r: r, fd: fd, name: [...]string{"client", "upstream"}[i]}
		r.flows[i].src = &r.ends[i]
		r.flows[i].dst = &r.ends[(i+1)%len(fds)]
	}
	return r
}

func (s *session) sockets() []end { return s.ends[:s.kind] }
func (s *session) paths() []flow  { return s.flows[:s.kind] }

// fail notes that e's socket has an error, the first of which is the relay's.
func (e *end) fail(err error) {
	e.failed = true
	// The error is news to the reading direction, too, and what arrived before it can still be read.
	e.readable, e.thorough = true, true
	if e.r.err == nil {
		e.r.err = &SideError{e.name, err}
	}
}

func (s *session) stats() Stats {
	up := int64(s.flows[0].moved.Load()) // negative while a Target's first bytes are on their way
	st := Stats{Up: uint64(max(0, up)), Since: s.since}
	if s.kind == kindRelay {
		st.Down = s.flows[1].moved.Load()
	}
	return st
}

func (r *Relay) abort() {
	r.loop.post(func() { r.loop.end(r, ErrAborted) })
}
