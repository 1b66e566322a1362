package stream

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seed-e3b9a99f/baton/upgrader"
)

// generation stands in for an upgrader.Upgrader.
type generation struct {
	t          testing.TB
	receive    func(upgrader.Parcel) error
	handover   func()
	exit, done chan struct{}
	work       sync.WaitGroup
	send       atomic.Pointer[func(upgrader.Parcel) error] // to the next one
}

func newGeneration(t testing.TB) *generation {
	return &generation{t: t, exit: make(chan struct{}), done: make(chan struct{})}
}

func (g *generation) OnParcel(_ string, receive func(upgrader.Parcel) error) error {
	g.receive = receive
	return nil
}

func (g *generation) OnHandover(fn func())  { g.handover = fn }
func (g *generation) Exit() <-chan struct{} { return g.exit }
func (g *generation) Done() <-chan struct{} { return g.done }

func (g *generation) Go(fn func() error) {
	g.work.Go(func() {
		if err := fn(); err != nil {
			g.t.Error(err)
		}
	})
}

func (g *generation) ChildPID() int {
	if g.send.Load() == nil {
		return 0
	}
	return 4711
}

func (g *generation) SendParcel(p upgrader.Parcel) error {
	if send := g.send.Load(); send != nil {
		return (*send)(p)
	}
	return upgrader.ErrNoReceiver
}
