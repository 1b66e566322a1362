package demo

import (
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

// parcelEcho is an echo connection on its way to the next generation: its socket, and a pipe where data is stuck.
const parcelEcho = "demo/echo"

// echo sends back what it gets. Its connections move to the next generation.
type echo struct {
	u      *upgrader.Upgrader
	log    *slog.Logger
	engine *relay.Engine
}

// serveEcho serves ln, and the connections that come from the parent, until this process ends.
func serveEcho(u *upgrader.Upgrader, log *slog.Logger, ln net.Listener) error {
	const loops = 2
	// A loop that wakes needs a P at once, or moving its relays waits for whatever else keeps the processors busy.
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), loops+2))
	engine, err := relay.New(relay.Options{Loops: loops})
	if err != nil {
		return fmt.Errorf("tcp echo: %w", err)
	}
	e := &echo{u: u, log: log, engine: engine}
	if err := u.OnParcel(parcelEcho, e.receive); err != nil {
		return err
	}
	u.OnHandover(e.handOver)
	u.Go(func() error { return e.accept(ln) })
	u.Go(e.drain)
	return nil
}

func (e *echo) accept(ln net.Listener) error {
	for {
		c, err := ln.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil: // a full fd table, say
			e.log.Warn("tcp echo", "err", err)
			time.Sleep(10 * time.Millisecond)
			continue
		}
		if _, err := e.engine.Echo(c, relay.Config{}); err != nil {
			e.log.Warn("tcp echo", "err", err)
		}
	}
}

func (e *echo) receive(p upgrader.Parcel) error {
	_, err := e.engine.Import(relay.State{Files: p.Files, Blob: p.Data}, relay.Config{})
	return err
}

// handOver sends what runs now, some at a time, since each waits for its ack.
func (e *echo) handOver() {
	relays := make(chan *relay.Relay)
	var senders sync.WaitGroup
	for range 32 {
		senders.Go(func() {
			for r := range relays {
				e.send(r)
			}
		})
	}
	for _, r := range e.engine.Relays() {
		relays <- r
	}
	close(relays)
	senders.Wait()
}

// send moves one connection, or goes on with it.
func (e *echo) send(r *relay.Relay) {
	state, err := r.Export()
	if err != nil {
		return // it has ended, or cannot move on this system
	}
	err = e.u.SendParcel(upgrader.Parcel{Kind: parcelEcho, Data: state.Blob, Files: state.Files})
	if err == nil {
		state.Close()
		return
	}
	e.log.Warn("an echo connection stays", "err", err)
	if _, err := e.engine.Import(state, relay.Config{}); err != nil {
		e.log.Error("an echo connection is lost", "err", err)
	}
}

// drain waits for what has not moved, and ends it when time is up.
func (e *echo) drain() error {
	defer e.engine.Close()
	<-e.u.Exit()
	if e.u.ChildPID() != 0 {
		e.handOver() // what was accepted while the others moved
	}
	for e.engine.Len() > 0 {
		select {
		case <-e.u.Done():
			e.log.Warn("closed echo connections that were still open at the end of the drain", "connections", e.engine.Len())
			return nil
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}
