package upgrader

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed-e3b9a99f/baton/upgrader/internal/control"
)

// Parcel is something live on its way to the next generation: a connection that an application serves, with whatever it
// needs to be served on.
type Parcel struct {
	// Kind says who receives it; see [Upgrader.OnParcel]. It does not start with "baton/".
	Kind string

	// Data is what the files need beside them: at most MaxParcelData bytes.
	Data []byte

	// Files belong to the sender until SendParcel returns nil, and in the child to the receiver. At most MaxParcelFiles.
	Files []*os.File
}

// Limits of a Parcel.
const (
	MaxParcelData  = 48 << 10
	MaxParcelFiles = 64
)

// Errors of SendParcel, beside the receiver's own reason.
var (
	// ErrNoReceiver says that there is no generation to send to, or that it does not know the kind.
	ErrNoReceiver = errors.New("upgrader: nobody receives parcels of this kind")

	// ErrReceiverGone says that the next generation died before it had the parcel. Its process has ended: nobody else
	// has the files.
	ErrReceiverGone = errors.New("upgrader: the receiver of the parcel has gone")
)

// OnParcel has receive called with every parcel of a kind that the parent sends, after this process is in charge. It
// must be called before Ready. Parcels come one at a time, and those of one sender that waits for each in their order:
// receive should take the files over and return. An error refuses the parcel; the parent then goes on with it, and the
// files are closed here. A panic ends this process; during the handover, the parent then takes the service back.
//
// Older generations may send parcels as long as they live. Once this process is itself being replaced, they go to the
// one in charge: when OnHandover calls, what receive has taken in is all that there will be, unless the upgrade is
// rolled back.
func (u *Upgrader) OnParcel(kind string, receive func(Parcel) error) error {
	if err := checkKind(kind); err != nil {
		return err
	}
	return u.parcels.onParcel(kind, receive)
}

func checkKind(kind string) error {
	if kind == "" || len(kind) > maxName || strings.HasPrefix(kind, "baton/") {
		return fmt.Errorf("parcel kind %q: it has 1 to %d bytes and does not start with baton/", kind, maxName)
	}
	return nil
}

// OnHandover has fn called when the child is in charge, to send it what can move. This process begins to drain when fn
// has returned, or DrainTimeout has passed. If the child dies meanwhile, it takes the service back, with everything
// that SendParcel did not return nil for.
func (u *Upgrader) OnHandover(fn func()) {
	u.parcels.mu.Lock()
	defer u.parcels.mu.Unlock()
	u.parcels.sources = append(u.parcels.sources, fn)
}

// SendParcel sends p to the generation in charge and waits until that has it. It may be called from many goroutines,
// from OnHandover on until Done.
//
// After nil, the files are the receiver's: the caller closes its own. After an error they are not, and the caller goes
// on with them.
func (u *Upgrader) SendParcel(p Parcel) error {
	if err := checkKind(p.Kind); err != nil {
		return err
	}
	if len(p.Data) > MaxParcelData || len(p.Files) > MaxParcelFiles {
		return fmt.Errorf("parcel %q: %d bytes and %d files are more than %d and %d",
			p.Kind, len(p.Data), len(p.Files), MaxParcelData, MaxParcelFiles)
	}
	defer u.parcels.slot()()
	return u.sendParcel(p)
}

// sendParcel is SendParcel for those who have a slot.
func (u *Upgrader) sendParcel(p Parcel) error {
	var tried *control.Conn
	var err error
	for {
		u.linkMu.Lock()
		down := u.down
		u.linkMu.Unlock()
		switch {
		case down == nil && tried == nil:
			return ErrNoReceiver
		case down == nil || down == tried:
			return err
		}
		err = u.parcels.send(down, p)
		if !errors.Is(err, ErrReceiverGone) && !errors.Is(err, errLeaving) {
			return err
		}
		tried = down // it may have been replaced itself a moment ago, and then we have been told by whom
	}
}

// parcels is both ends of the traffic in them.
type parcels struct {
	charged <-chan struct{} // closed when this process is in charge
	ended   <-chan struct{} // closed when it finishes

	// leaving is set while the next generation is in charge: parcels go there.
	leaving atomic.Bool

	mu        sync.Mutex
	receivers map[string]func(Parcel) error
	sources   []func()
	id        uint64
	waiting   map[*control.Conn]map[uint64]chan<- error
	arrived   []arrival // to be received one at a time
	busy      bool      // somebody does that

	receiving sync.RWMutex // read-locked while a parcel is received

	window chan struct{} // bounds what is under way: see inFlight
}

// inFlight is how many parcels may be under way. Linux counts fds in flight against RLIMIT_NOFILE, for all processes of
// a user (ETOOMANYREFS, unix(7)).
const inFlight = 128

func (p *parcels) init(charged, ended <-chan struct{}) {
	p.window = make(chan struct{}, inFlight)
	p.charged, p.ended = charged, ended
}

// leave sends parcels of older generations on to the next one, from now on.
func (p *parcels) leave() { p.leaving.Store(true) }

// stay takes leave back, after a rollback.
func (p *parcels) stay() { p.leaving.Store(false) }

// handOver lets everybody send what can move. It follows leave.
func (p *parcels) handOver() {
	p.settle()
	p.mu.Lock()
	sources := slices.Clone(p.sources)
	p.mu.Unlock()
	var running sync.WaitGroup
	for _, fn := range sources {
		running.Go(fn)
	}
	running.Wait()
}

func (p *parcels) onParcel(kind string, receive func(Parcel) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.receivers == nil {
		p.receivers = make(map[string]func(Parcel) error)
	}
	if p.receivers[kind] != nil {
		return fmt.Errorf("parcel kind %q has a receiver already", kind)
	}
	p.receivers[kind] = receive
	return nil
}

// slot waits for one of the parcels that may be under way. Its holder may open the files for it, and releases it.
func (p *parcels) slot() (release func()) {
	p.window <- struct{}{}
	return func() { <-p.window }
}

func (p *parcels) send(to *control.Conn, parcel Parcel) error {
	id, result, err := p.expect(to)
	if err != nil {
		return err
	}
	m := control.Message{Kind: control.Parcel, Payload: appendParcel(nil, id, parcel), Files: parcel.Files}
	err = to.Send(m)
	for errors.Is(err, syscall.ETOOMANYREFS) { // another process of this user passes fds too
		time.Sleep(5 * time.Millisecond)
		err = to.Send(m)
	}
	if err != nil { // a frame that was not written whole was not received: nothing is read after a broken one
		err = fmt.Errorf("send parcel %q: %w", parcel.Kind, err)
		if hungUp(err) {
			err = fmt.Errorf("%w: %w", ErrReceiverGone, err)
		}
		p.answer(to, id, err)
	}
	return <-result
}

// expect registers an answer before anybody can give it.
func (p *parcels) expect(from *control.Conn) (uint64, <-chan error, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	waiting, heard := p.waiting[from]
	if !heard {
		return 0, nil, ErrReceiverGone
	}
	p.id++
	result := make(chan error, 1)
	waiting[p.id] = result
	return p.id, result, nil
}

// hear says that answers from a generation will be read, until gone.
func (p *parcels) hear(from *control.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting == nil {
		p.waiting = make(map[*control.Conn]map[uint64]chan<- error)
	}
	p.waiting[from] = make(map[uint64]chan<- error)
}

// gone answers for a generation that cannot any more. Its process has ended, so that nobody else has the files.
func (p *parcels) gone(from *control.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, result := range p.waiting[from] {
		result <- ErrReceiverGone
	}
	delete(p.waiting, from)
}

func (p *parcels) answer(from *control.Conn, id uint64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if result := p.waiting[from][id]; result != nil {
		delete(p.waiting[from], id)
		result <- err
	}
}

// acked takes in an answer.
func (p *parcels) acked(from *control.Conn, m control.Message) {
	if len(m.Payload) < 8 {
		return
	}
	var err error
	switch reason := string(m.Payload[8:]); reason {
	case "":
	case noReceiver:
		err = ErrNoReceiver
	case isLeaving:
		err = errLeaving
	default:
		err = fmt.Errorf("the next generation did not take the parcel: %s", reason)
	}
	p.answer(from, binary.BigEndian.Uint64(m.Payload), err)
}
