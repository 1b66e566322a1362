package relay

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A pipe carries the bytes of one direction from splice to splice, and keeps them while they are stuck.
type pipe struct {
	r, w  int // w is -1 in an imported pipe, which is emptied and closed
	size  int // what one splice asks for
	grown bool
}

// grow makes p, which one splice has filled, hold more: fewer system calls a byte. The user may have used up what
// pipes may hold; then p stays as it is.
func (p *pipe) grow() {
	if p.grown {
		return
	}
	p.grown = true
	if n, err := unix.FcntlInt(uintptr(p.w), unix.F_SETPIPE_SZ, bulkPipeSize); err == nil {
		p.size = n
	}
}

func (p *pipe) close() {
	unix.Close(p.r)
	if p.w >= 0 {
		unix.Close(p.w)
	}
}

const (
	// pipeSize is a pipe's default capacity, and bulkPipeSize that of one which has been full. Larger ones still save
	// little and count against /proc/sys/fs/pipe-user-pages-soft sooner; beyond it new pipes hold two pages.
	pipeSize     = 64 << 10
	bulkPipeSize = 256 << 10
	// idlePipes is how many empty pipes a loop keeps.
	idlePipes = 32
	// pipeRetry is how long a loop does without pipes after it could not have one.
	pipeRetry = time.Second
)

// pipes is a loop's pool of empty pipes.
type pipes struct {
	free  []*pipe
	retry time.Duration // do not ask before, on the loop's clock
}

// get returns an empty pipe, or nil if none can be had.
func (ps *pipes) get(now time.Duration) *pipe {
	if n := len(ps.free); n > 0 {
		p := ps.free[n-1]
		ps.free = ps.free[:n-1]
		return p
	}
	if now < ps.retry {
		return nil
	}
	var fds [2]int
	if err := pipe2(&fds); err != nil {
		ps.retry = now + pipeRetry
		return nil
	}
	return &pipe{r: fds[0], w: fds[1], size: pipeSize}
}

// put takes back a pipe, which is empty.
func (ps *pipes) put(p *pipe) {
	if p.w < 0 || len(ps.free) >= idlePipes {
		p.close()
		return
	}
	ps.free = append(ps.free, p)
}

func (ps *pipes) close() {
	for _, p := range ps.free {
		p.close()
	}
	ps.free = nil
}

// pipe2 is a variable so that a test can be out of descriptors.
var pipe2 = func(fds *[2]int) error {
	return os.NewSyscallError("pipe2", unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK))
}
