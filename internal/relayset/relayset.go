// Package relayset keeps relays that move to the next generation when the process is upgraded.
package relayset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/seed-e3b9a99f/baton/internal/relay"
	"github.com/seed-e3b9a99f/baton/upgrader"
)

// ErrMoved is what OnEnd gets, with no counts, for a relay that has gone to the next generation: it has ended for this
// process alone.
var ErrMoved = errors.New("moved to the next generation")

// Upgrader is what a Set needs of an [upgrader.Upgrader].
type Upgrader interface {
	OnParcel(kind string, receive func(upgrader.Parcel) error) error
	OnHandover(fn func())
	SendParcel(upgrader.Parcel) error
	Go(fn func() error)
	Exit() <-chan struct{}
	Done() <-chan struct{}
	ChildPID() int
}

// Set is relays of one program. Each has a note, which says what it is, and travels with it.
type Set struct {
	u      Upgrader
	log    *slog.Logger
	kind   string
	engine *relay.Engine
	adopt  func(note []byte) (relay.Config, error)

	mu    sync.Mutex
	all   map[*member]struct{}
	moved uint64
	held  int // times that Hold was called, and its result not
}

type member struct {
	relay  *relay.Relay
	note   []byte
	config relay.Config // the caller's
	ended  bool
}

// Options configure a Set.
type Options struct {
	Kind  string // of the parcels, such as "proxy/relay"
	Loops int    // of the engine; 0 for its default
	// Adopt returns what to run a relay with that comes from the parent. An error leaves it with the parent. Where the
	// relay cannot be run after all, OnEnd is called with the reason.
	Adopt  func(note []byte) (relay.Config, error)
	Logger *slog.Logger
}

// New starts the engine, and takes over the parent's relays from the moment that the upgrader is ready. Call it before
// that. When the process is replaced the relays move; what cannot move, or is left when the service stops, runs on until
// it ends or the drain is over.
func New(u Upgrader, o Options) (*Set, error) {
	loops := o.Loops
	if loops == 0 {
		loops = min(2, runtime.NumCPU())
	}
	// A loop that wakes needs a P at once, or moving its relays waits for whatever else keeps the processors busy.
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), loops+2))
	engine, err := relay.New(relay.Options{Loops: loops})
	if err != nil {
		return nil, err
	}
	s := &Set{u: u, log: o.Logger, kind: o.Kind, engine: engine, adopt: o.Adopt, all: make(map[*member]struct{})}
	if err := u.OnParcel(o.Kind, s.receive); err != nil {
		_ = engine.Close()
		return nil, err
	}
	u.OnHandover(s.handOver)
	u.Go(s.drain)
	return s, nil
}

// Hold keeps the set from closing while the process drains, until release is called: relays may still begin.
func (s *Set) Hold() (release func()) {
	s.hold(1)
	return sync.OnceFunc(func() { s.hold(-1) })
}

func (s *Set) hold(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held += n
}

// idle tells whether nothing runs, and nothing can begin.
func (s *Set) idle() bool {
	s.mu.Lock()
	held := s.held
	s.mu.Unlock()
	return held == 0 && s.engine.Len() == 0 // in this order: what was held may have become a relay
}

// Relay moves bytes between client and upstream until both have ended. It takes ownership of both, also when it fails:
// then config.OnEnd is called as well. In a process that has been replaced, the relay moves on at once.
func (s *Set) Relay(client, upstream net.Conn, note []byte, config relay.Config) error {
	return s.begin(note, config, func(c relay.Config) (*relay.Relay, error) { return s.engine.Relay(client, upstream, c) })
}

// replaced tells whether another process is in charge, and what ran here has moved there.
func (s *Set) replaced() bool {
	select {
	case <-s.u.Exit():
		return s.u.ChildPID() != 0
	default:
		return false
	}
}

// Echo sends back to c what comes from it. It takes ownership of c, also when it fails. It moves on as a relay does.
func (s *Set) Echo(c net.Conn) error {
	return s.begin(nil, relay.Config{}, func(cfg relay.Config) (*relay.Relay, error) { return s.engine.Echo(c, cfg) })
}

type starter func(relay.Config) (*relay.Relay, error)

// begin runs a relay, here or in the process that has replaced this one.
func (s *Set) begin(note []byte, config relay.Config, start starter) error {
	m, err := s.run(note, config, start)
	if err == nil && s.replaced() {
		s.send(m)
	}
	return err
}

// run begins a relay and remembers it until it ends.
func (s *Set) run(note []byte, config relay.Config, start starter) (*member, error) {
	m := &member{note: note, config: config}
	if err := s.keep(m, start); err != nil {
		if m.config.OnEnd != nil {
			m.config.OnEnd(relay.Result{Err: err})
		}
		return nil, err
	}
	return m, nil
}

// keep begins a relay, and knows m until it ends.
func (s *Set) keep(m *member, start starter) error {
	config := m.config
	config.OnEnd = func(r relay.Result) {
		s.forget(m)
		if m.config.OnEnd != nil {
			m.config.OnEnd(r)
		}
	}
	r, err := start(config)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.relay = r; !m.ended {
		s.all[m] = struct{}{}
	}
	return nil
}

func (s *Set) forget(m *member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m.ended = true
	delete(s.all, m)
}

// Len returns how many relays run.
func (s *Set) Len() int { return s.engine.Len() }

// Moved returns how many relays have gone to the next generation.
func (s *Set) Moved() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.moved
}

// receive goes on with a relay of the parent.
func (s *Set) receive(p upgrader.Parcel) error {
	state := relay.State{Files: p.Files}
	note, blob, err := open(p.Data)
	if err != nil {
		_ = state.Close()
		return err
	}
	state.Blob = blob
	config, err := s.adopt(note)
	if err != nil {
		_ = state.Close()
		return err
	}
	return s.goOn(note, config, state)
}

func (s *Set) goOn(note []byte, config relay.Config, state relay.State) error {
	_, err := s.run(note, config, func(c relay.Config) (*relay.Relay, error) { return s.engine.Import(state, c) })
	return err
}

// handOver sends what runs now, some at a time, since each waits for its ack.
func (s *Set) handOver() {
	const atATime = 32
	members := make(chan *member)
	var senders sync.WaitGroup
	for range atATime {
		senders.Go(func() {
			for m := range members {
				s.send(m)
			}
		})
	}
	s.mu.Lock()
	now := make([]*member, 0, len(s.all))
	for m := range s.all {
		now = append(now, m)
	}
	s.mu.Unlock()
	for _, m := range now {
		if m.relay.Connecting() {
			s.sendLater(m) // the others need not wait for a slow server
			continue
		}
		members <- m
	}
	close(members)
	senders.Wait()
}

// send moves one relay, or goes on with it.
func (s *Set) send(m *member) {
	state, err := m.relay.Export()
	if err != nil {
		return // it has ended, or cannot move on this system
	}
	s.mu.Lock()
	delete(s.all, m)
	s.mu.Unlock()
	err = s.u.SendParcel(upgrader.Parcel{Kind: s.kind, Data: seal(m.note, state.Blob), Files: state.Files})
	if err == nil {
		_ = state.Close()
		s.mu.Lock()
		s.moved++
		s.mu.Unlock()
		if m.config.OnEnd != nil {
			m.config.OnEnd(relay.Result{Err: ErrMoved})
		}
		return
	}
	s.log.Warn("a connection stays in this process", "err", err)
	if err := s.goOn(m.note, m.config, state); err != nil {
		s.log.Error("a connection is lost", "err", err)
	}
}

// drain waits for what has not moved, and ends it when time is up.
func (s *Set) drain() error {
	defer s.engine.Close()
	<-s.u.Exit()
	if s.u.ChildPID() != 0 {
		s.handOver() // what was accepted while the others moved
	}
	for !s.idle() {
		select {
		case <-s.u.Done():
			s.log.Warn("closed connections that were still open at the end of the drain", "connections", s.engine.Len())
			return nil
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// seal puts a note before a relay's state.
func seal(note, blob []byte) []byte {
	data := binary.AppendUvarint(nil, uint64(len(note)))
	return append(append(data, note...), blob...)
}

var errNote = errors.New("relay parcel: no note in it")

func open(data []byte) (note, blob []byte, err error) {
	n, size := binary.Uvarint(data)
	if size <= 0 || n > uint64(len(data)-size) {
		return nil, nil, fmt.Errorf("%w (%d bytes)", errNote, len(data))
	}
	end := size + int(n)
	return data[size:end:end], data[end:], nil
}
