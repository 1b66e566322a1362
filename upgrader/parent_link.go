package upgrader

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/seed-e3b9a99f/baton/upgrader/internal/control"
)

// envControl names the inherited control fd to a child. New removes it from the environment.
const envControl = "BATON_CONTROL_FD"

// inheritTimeout bounds how long New waits for each message of a parent that is starting it.
const inheritTimeout = 30 * time.Second

// parentLink is the process that started this one, for an upgrade.
type parentLink interface {
	announce(control.Claim) error // this process is ready
	refuse(reason error)          // this process cannot serve
	committed() error             // this process has taken over
}

// inheritance is what a child gets before its program starts up.
type inheritance struct {
	generation int
	parentPID  int
	link       parentLink    // nil without a parent
	conn       *control.Conn // the same, where the parent is Baton
	fds        []control.Entry
	files      []*os.File // one for each of fds
	blobs      control.Blobs
	leases     []*lease
	ancestors  []*control.Conn // older generations that still drain
	stderr     *os.File        // where the service's standard error really goes; nil where it is in place already
	stderrPipe *os.File
}

// inherit takes over what the parent passes on. Without a parent it returns an empty inheritance.
func inherit() (*inheritance, error) {
	value, isChild := os.LookupEnv(envControl)
	if !isChild {
		return inheritTableflip()
	}
	os.Unsetenv(envControl) // before this process starts any other
	fd, err := strconv.Atoi(value)
	if err != nil || fd < 3 {
		return nil, fmt.Errorf("%s=%q: is set by a parent for its child alone; unset it", envControl, value)
	}
	conn, err := control.New(os.NewFile(uintptr(fd), "control"))
	if err != nil {
		return nil, fmt.Errorf("%s=%q: %w (it is set by a parent for its child alone; unset it)", envControl, value, err)
	}
	in := &inheritance{conn: conn, link: batonParent{conn}}
	if err := in.receive(); err != nil {
		conn.Close()
		if hungUp(err) {
			// The parent was killed while it passed things on. Nobody serves, so starting with what has come is the
			// best there is.
			in.link, in.conn, in.generation = nil, nil, max(in.generation, 1)
			return in, nil
		}
		return nil, fmt.Errorf("inherit from the parent: %w", err)
	}
	return in, nil
}

// hungUp tells whether err says that the other end of a control channel has gone.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func (in *inheritance) receive() error {
	if err := in.conn.SetReadDeadline(time.Now().Add(inheritTimeout)); err != nil {
		return err
	}
	defer in.conn.SetReadDeadline(time.Time{})
	if err := in.conn.Send(control.Message{Kind: control.Hello, Payload: control.Encode(control.Greeting{PID: os.Getpid()})}); err != nil {
		return err
	}
	for {
		m, err := in.conn.Receive()
		if err != nil {
			return err
		}
		switch m.Kind {
		case control.Hello:
			var hello control.Greeting
			if err := control.Decode(m, &hello); err != nil {
				return err
			}
			in.generation, in.parentPID = hello.Generation, hello.PID
		case control.Files:
			if err := in.sort(m); err != nil {
				return err
			}
		case control.State:
			if err := in.blobs.Add(m); err != nil {
				return err
			}
		case control.Complete:
			return nil
		default: // a newer release's; its fds are not for us
			for _, f := range m.Files {
				f.Close()
			}
		}
	}
}

// sort puts each fd where it belongs. The program's own keep their place in the order of arrival, by which the parent
// knows them.
func (in *inheritance) sort(m control.Message) error {
	entries, err := control.DecodeFiles(m)
	if err != nil {
		return err
	}
	for i, e := range entries {
		file := m.Files[i]
		switch e.Role {
		case control.RoleLease:
			in.leases = append(in.leases, newLease(e.Generation, e.PID, file))
		case control.RoleAncestor:
			conn, err := control.New(file)
			if err != nil {
				return err
			}
			in.ancestors = append(in.ancestors, conn)
		case control.RoleStderr:
			in.stderr = file
		case control.RoleStderrPipe:
			in.stderrPipe = file
		default:
			in.fds, in.files = append(in.fds, e), append(in.files, file)
		}
	}
	return nil
}

// batonParent is a parent that speaks the control protocol.
type batonParent struct{ conn *control.Conn }

func (p batonParent) announce(claim control.Claim) error {
	return p.conn.Send(control.Message{Kind: control.Ready, Payload: control.Encode(claim)})
}

func (p batonParent) refuse(reason error) {
	_ = p.conn.Send(control.Message{Kind: control.Refused, Payload: control.Encode(control.Reason{Text: reason.Error()})})
}

func (p batonParent) committed() error {
	return p.conn.Send(control.Message{Kind: control.Committed})
}

// lease tells whether another generation lives: it holds the write end of a pipe, and this is the read end.
type lease struct {
	generation, pid int
	file            *os.File
	gone            chan struct{} // closed when it has gone
}

func newLease(generation, pid int, file *os.File) *lease {
	l := &lease{generation: generation, pid: pid, file: file, gone: make(chan struct{})}
	go func() {
		_, _ = io.Copy(io.Discard, file) // nothing is ever written: this ends when the holder does
		close(l.gone)
	}()
	return l
}

func (l *lease) alive() bool {
	select {
	case <-l.gone:
		return false
	default:
		return true
	}
}
