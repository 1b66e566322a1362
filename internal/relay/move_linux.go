package relay

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

func (r *Relay) export() (State, error) {
	for {
		var st State
		var through <-chan struct{}
		err := ErrEnded
		if !r.loop.call(func() {
			if through = r.through(); through == nil {
				st, err = r.loop.export(r)
			}
		}) {
			return State{}, ErrClosed
		}
		if through == nil {
			return st, err
		}
		<-through
	}
}

// export runs in the loop, between two rounds.
func (l *loop) export(r *Relay) (State, error) {
	if r.gone {
		return State{}, ErrEnded
	}
	for i := range r.sockets() {
		// The kernel tells of an error once, so the next process would not hear of this one.
		if r.ends[i].failed {
			l.end(r, r.err)
			return State{}, ErrEnded
		}
	}
	l.drop(r)
	b := blob{kind: r.kind, since: r.since, idle: max(0, time.Since(l.start)-r.active)}
	var st State
	for i := range r.sockets() {
		fd := r.ends[i].fd
		// The registration belongs to the open file, which lives on.
		_ = unix.EpollCtl(l.epfd, unix.EPOLL_CTL_DEL, fd, nil)
		st.Files = append(st.Files, os.NewFile(uintptr(fd), "relay-"+r.ends[i].name))
	}
	for i := range r.paths() {
		f := &r.flows[i]
		l.release(f)
		if f.held > 0 {
			if f.pipe.w >= 0 {
				unix.Close(f.pipe.w)
			}
			st.Files = append(st.Files, os.NewFile(uintptr(f.pipe.r), "relay-pipe"))
		}
		b.flows = append(b.flows, flowBlob{
			eof: f.eof, finished: f.finished, moved: f.moved.Load(), held: uint32(f.held), stash: f.stash,
		})
		f.pipe, f.held, f.stash = nil, 0, nil
	}
	st.Blob = b.append(nil)
	return st, nil
}

func (e *engine) resume(st State, cfg Config) (*Relay, error) {
	r, idle, err := e.restore(st, cfg)
	if err != nil {
		st.Close() // those that restore has taken are closed already, and an os.File closes once
		return nil, err
	}
	if err := e.admit(r, idle); err != nil {
		return nil, err
	}
	return r, nil
}

// restore makes a relay of st. If it fails, it closes what it took of st.Files, and leaves the rest.
func (e *engine) restore(st State, cfg Config) (r *Relay, idle time.Duration, err error) {
	b, err := parseBlob(st.Blob)
	if err != nil {
		return nil, 0, err
	}
	if want := b.files(); len(st.Files) != want {
		return nil, 0, fmt.Errorf("%w: %d files, want %d", ErrMalformed, len(st.Files), want)
	}
	var fds []int
	defer func() {
		if err != nil {
			closeAll(fds)
		}
	}()
	for i, file := range st.Files {
		check := checkStream
		if i >= int(b.kind) {
			check = checkPipe
		}
		if file == nil {
			return nil, 0, fmt.Errorf("%w: no file %d", ErrMalformed, i)
		}
		fd, err := takeFile(file, check)
		if err != nil {
			return nil, 0, fmt.Errorf("relay: file %d of the state: %w", i, err)
		}
		fds = append(fds, fd)
	}
	r = newSession(e.pick(), fds[:b.kind], cfg, b.since)
	r.copied = true
	pipes := fds[b.kind:]
	for i, from := range b.flows {
		f := &r.flows[i]
		f.eof, f.finished, f.held, f.stash = from.eof, from.finished, int(from.held), from.stash
		f.moved.Store(from.moved)
		if f.held > 0 {
			f.pipe, pipes = &pipe{r: pipes[0], w: -1}, pipes[1:]
		}
	}
	return r, b.idle, nil
}
