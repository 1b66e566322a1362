package relay

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// turn is how many reads a flow gets before the loop looks after others.
	turn = 16
	// bulkAfter is how many full reads in a row make a flow bulk.
	bulkAfter = 2
	// A splice that moves less than leanSplice costs more than it saves; after leanAfter in a row the flow is not bulk.
	leanSplice = 8 << 10
	leanAfter  = 4
)

// pump moves what can be moved from f.src to f.dst without waiting, for one turn. It returns true if there may be more
// to move, false if nothing can happen before the next event. The order is always: write what was read, then tell of the
// end of the stream, then read; so no more than one read's worth is ever held, and reading stops while it is.
func (l *loop) pump(f *flow) (more bool) {
	if f.finished || f.dst.failed {
		return false
	}
	for range turn {
		if f.stuck() && !l.drain(f) {
			return false
		}
		if f.eof {
			l.finish(f)
			return false
		}
		// While dst is not writable the bytes stay in the kernel and the sender feels it.
		if !f.src.readable || !f.dst.writable {
			l.release(f)
			return false
		}
		if f.bulk {
			l.fill(f)
		} else {
			l.copy(f)
		}
		if f.dst.failed {
			return false
		}
	}
	return true
}

// copy passes one read on through the loop's buffer. What dst does not take is kept.
func (l *loop) copy(f *flow) {
	n, err := recv(f.src.fd, l.buf)
	if !l.arrived(f, "recvfrom", n, err) {
		return
	}
	if n == len(l.buf) {
		if f.full++; f.full >= bulkAfter {
			f.bulk, f.full, f.lean = true, 0, 0
		}
	} else {
		f.full = 0
		// epoll(7): a stream that gave less than was asked for is empty, and the next byte is a new edge.
		f.src.readable = f.src.thorough
	}
	sent := l.write(f, l.buf[:n])
	if sent < n && !f.dst.failed {
		l.keep(f, l.buf[sent:n])
	}
}

// fill splices from src into the flow's pipe, which is empty: so EAGAIN can only mean that src is. How much arrives
// says nothing about how much is left, since few small packets fill a pipe.
func (l *loop) fill(f *flow) {
	if f.pipe == nil {
		if f.pipe = l.pipes.get(l.now); f.pipe == nil {
			f.bulk = false
			return
		}
	}
	n, err := splice(f.src.fd, f.pipe.w, f.pipe.size)
	if !l.arrived(f, "splice", n, err) {
		return
	}
	f.held = n
	if n == f.pipe.size {
		f.pipe.grow()
	}
	if n >= leanSplice {
		f.lean = 0
	} else if f.lean++; f.lean >= leanAfter {
		f.bulk = false
	}
}

// arrived takes in the result of a read from f.src and returns whether it brought bytes.
func (l *loop) arrived(f *flow, call string, n int, err error) bool {
	switch {
	case err == unix.EAGAIN:
		f.src.readable = false
	case err != nil:
		f.eof = true
		f.src.fail(os.NewSyscallError(call, err))
	case n == 0:
		f.eof = true
	default:
		f.src.r.active = l.now
		return true
	}
	return false
}

// write sends b to f.dst and returns how much of it was taken. Only EAGAIN clears writable: it is what makes the kernel
// report the next edge.
func (l *loop) write(f *flow, b []byte) int {
	sent := 0
	for sent < len(b) && f.dst.writable {
		n, err := send(f.dst.fd, b[sent:])
		switch {
		case err == unix.EAGAIN:
			f.dst.writable = false
		case err != nil:
			f.dst.fail(os.NewSyscallError("sendto", err))
			return sent
		}
		sent += n
	}
	l.delivered(f, sent)
	return sent
}

// delivered counts.
func (l *loop) delivered(f *flow, n int) {
	if n > 0 {
		f.moved.Store(f.moved.Load() + uint64(n))
		f.dst.r.active = l.now
	}
}

// keep holds on to b, which dst did not take: in a pipe if one can be had, or else in memory.
func (l *loop) keep(f *flow, b []byte) {
	if f.pipe == nil {
		f.pipe = l.pipes.get(l.now)
	}
	if f.pipe != nil {
		// A pipe made beyond the user's share of pages takes only some.
		n, err := unix.Write(f.pipe.w, b)
		if err == nil {
			f.held = n
			b = b[n:]
		}
	}
	if len(b) > 0 {
		f.stash = append([]byte(nil), b...)
	}
}

// drain writes what f keeps and returns whether all of it is gone.
func (l *loop) drain(f *flow) bool {
	for f.held > 0 && f.dst.writable {
		n, err := splice(f.pipe.r, f.dst.fd, f.held)
		switch {
		case err == unix.EAGAIN:
			f.dst.writable = false
		case err != nil:
			f.dst.fail(os.NewSyscallError("splice", err))
			return false
		case n == 0: // an imported pipe with less in it than its State said
			f.dst.fail(os.NewSyscallError("splice", io.ErrUnexpectedEOF))
			return false
		}
		f.held -= n
		l.delivered(f, n)
	}
	if f.held == 0 && len(f.stash) > 0 {
		f.stash = f.stash[l.write(f, f.stash):]
		if len(f.stash) == 0 {
			f.stash = nil
		}
	}
	if f.pipe != nil && f.held == 0 && f.pipe.w < 0 {
		l.release(f) // it cannot be filled again
	}
	return !f.stuck()
}

// finish passes the end of the stream on. That of a failed socket is none: loop.end resets the other side.
func (l *loop) finish(f *flow) {
	l.release(f)
	f.finished = true
	if f.src.failed {
		return
	}
	if r := f.src.r; !r.copied && r.kind == kindRelay && r.flows[0].finished && r.flows[1].finished {
		return // the close that follows says it, unless another process has a copy of the socket
	}
	if err := unix.Shutdown(f.dst.fd, unix.SHUT_WR); err != nil && err != unix.ENOTCONN {
		f.dst.fail(os.NewSyscallError("shutdown", err))
	}
}

// release gives an empty pipe back.
func (l *loop) release(f *flow) {
	if f.pipe != nil && f.held == 0 {
		l.pipes.put(f.pipe)
		f.pipe = nil
	}
}
