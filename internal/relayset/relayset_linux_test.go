package relayset

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/internal/relay"
	"github.com/seed-e3b9a99f/baton/upgrader"
)

// child returns a set that takes all relays, the notes of those that came, and what tells of their ends.
func child(t testing.TB) (g *generation, s *Set, notes func() []string, ended chan relay.Result) {
	t.Helper()
	var mu sync.Mutex
	var came []string
	ended = make(chan relay.Result, 16)
	g, s = newSet(t, func(note []byte) (relay.Config, error) {
		mu.Lock()
		defer mu.Unlock()
		came = append(came, string(note))
		return relay.Config{OnEnd: func(r relay.Result) { ended <- r }}, nil
	})
	return g, s, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Sorted(slices.Values(came))
	}, ended
}

func known(s *Set) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

func TestRelaysMoveWithTheirNotes(t *testing.T) {
	newGen, newer, notes, endedThere := child(t)
	g, s := newSet(t, nil)
	var want []string
	var clients, servers []*net.TCPConn
	var ends []chan relay.Result
	for i := range 40 { // more than are sent at a time
		note := fmt.Sprintf("note %02d", i)
		c, v, ended := begin(t, s, note)
		passes(t, c, v, "before")
		want, clients, servers, ends = append(want, note), append(clients, c), append(servers, v), append(ends, ended)
	}
	g.replace(newGen)
	g.work.Wait() // nothing is left to drain
	if got := notes(); !slices.Equal(got, want) {
		t.Errorf("notes %q, want %q", got, want)
	}
	if s.Moved() != 40 || s.Len() != 0 || known(s) != 0 || newer.Len() != 40 || known(newer) != 40 {
		t.Errorf("moved %d; %d run and %d are known here, %d and %d there", s.Moved(), s.Len(), known(s), newer.Len(), known(newer))
	}
	for i := range clients {
		if r := next(t, ends[i]); !errors.Is(r.Err, ErrMoved) || r.Up != 0 {
			t.Errorf("the owner heard %+v, want ErrMoved and no counts", r)
		}
		passes(t, clients[i], servers[i], "after")
		passes(t, servers[i], clients[i], "back")
	}
	for i := range clients {
		clients[i].Close()
		servers[i].Close()
		if r := next(t, endedThere); r.Err != nil || r.Up != 11 || r.Down != 4 {
			t.Errorf("ended with %+v, want 11 bytes up and 4 down", r)
		}
	}
	if known(newer) != 0 {
		t.Errorf("%d relays that have ended are remembered", known(newer))
	}
	if len(ends[0]) != 0 {
		t.Error("the owner heard of the end twice")
	}
}

func TestARefusedRelayGoesOnHere(t *testing.T) {
	newGen, newer := newSet(t, func([]byte) (relay.Config, error) { return relay.Config{}, errors.New("not ready") })
	g, s := newSet(t, nil)
	client, server, ended := begin(t, s, "note")
	passes(t, client, server, "before")
	g.replace(newGen)
	if s.Moved() != 0 || s.Len() != 1 || newer.Len() != 0 {
		t.Errorf("moved %d; %d run here, %d there", s.Moved(), s.Len(), newer.Len())
	}
	passes(t, client, server, "after")
	client.Close()
	server.Close()
	if r := next(t, ended); r.Err != nil || r.Up != 11 {
		t.Errorf("ended with %+v, want 11 bytes up", r)
	}
	g.work.Wait() // the drain is over
	if len(ended) != 0 || known(s) != 0 {
		t.Errorf("heard of %d more ends; %d are known", len(ended), known(s))
	}
}

func TestADeadReceiverTakesNothingAlong(t *testing.T) {
	g, s := newSet(t, nil)
	g.send = func(upgrader.Parcel) error { return upgrader.ErrReceiverGone }
	client, server, _ := begin(t, s, "note")
	for _, fn := range g.handover {
		fn()
	}
	passes(t, client, server, "after")
	passes(t, server, client, "back")
}

// What the receiver gets is neither a note and a state, nor may any of it stay open.
func TestBrokenParcelsAreRefused(t *testing.T) {
	var ends []relay.Result
	g, s := newSet(t, func([]byte) (relay.Config, error) {
		return relay.Config{OnEnd: func(r relay.Result) { ends = append(ends, r) }}, nil
	})
	for name, data := range map[string][]byte{
		"no note": nil, "a short note": {9, 'x'}, "no state": seal([]byte("note"), nil),
		"another state": seal([]byte("note"), []byte("brly\x01garbage")),
	} {
		near, _ := pair(t)
		f, err := near.File()
		if err != nil {
			t.Fatal(err)
		}
		p := upgrader.Parcel{Kind: "test", Data: data}
		p.Files = append(p.Files, f)
		if err := g.receive["test"](p); err == nil {
			t.Errorf("%s: taken", name)
		}
		if err := f.Close(); err == nil {
			t.Errorf("%s: its file is left open", name)
		}
	}
	if len(ends) != 2 { // of the two that were adopted
		t.Errorf("OnEnd was told %d times that a relay cannot be run, want 2", len(ends))
	}
	for _, r := range ends {
		if r.Err == nil {
			t.Error("without a reason")
		}
	}
	if s.Len() != 0 || known(s) != 0 {
		t.Errorf("%d run, %d are known", s.Len(), known(s))
	}
}

func TestEndedRelaysAreForgotten(t *testing.T) {
	_, s := newSet(t, nil)
	for range 20 {
		client, server, ended := begin(t, s, "note")
		client.Close()
		server.Close()
		next(t, ended)
	}
	if known(s) != 0 {
		t.Errorf("%d relays that have ended are remembered", known(s))
	}
}

func TestWhatCannotRunIsToldToOnEnd(t *testing.T) {
	_, s := newSet(t, nil)
	pipe, other := net.Pipe() // no socket
	defer other.Close()
	near, far := pair(t)
	var ends []relay.Result
	err := s.Relay(near, pipe, nil, relay.Config{OnEnd: func(r relay.Result) { ends = append(ends, r) }})
	if err == nil || len(ends) != 1 || !errors.Is(ends[0].Err, err) {
		t.Errorf("error %v; OnEnd was told %v", err, ends)
	}
	if _, err := io.ReadAll(far); err != nil {
		t.Errorf("the connection is left open: %v", err)
	}
}

// After the exit the set stays open for whoever holds it, and what begins then moves at once.
func TestRelaysThatBeginLate(t *testing.T) {
	for _, replaced := range []bool{true, false} {
		t.Run(fmt.Sprintf("replaced=%v", replaced), func(t *testing.T) {
			newGen, newer, notes, endedThere := child(t)
			g, s := newSet(t, nil)
			release := s.Hold()
			over := make(chan struct{})
			go func() {
				defer close(over)
				g.work.Wait()
			}()
			if replaced {
				g.replace(newGen)
			} else {
				close(g.exit)
			}
			client, server, ended := begin(t, s, "late")
			passes(t, client, server, "word")
			select {
			case <-over:
				t.Fatal("the drain is over while somebody holds the set")
			default:
			}
			if replaced {
				if r := next(t, ended); !errors.Is(r.Err, ErrMoved) {
					t.Errorf("the owner heard %+v", r)
				}
				if got := notes(); !slices.Equal(got, []string{"late"}) || newer.Len() != 1 {
					t.Errorf("notes %q, %d relays there", got, newer.Len())
				}
			} else if s.Len() != 1 {
				t.Errorf("%d relays here", s.Len())
			}
			release()
			release() // a second time does nothing
			client.Close()
			server.Close()
			if replaced {
				next(t, endedThere)
			}
			select {
			case <-over:
			case <-time.After(patience):
				t.Error("the drain does not end")
			}
		})
	}
}

func TestTheEndOfTheDrainCutsWhatIsLeft(t *testing.T) {
	g, s := newSet(t, nil)
	client, server, ended := begin(t, s, "note")
	passes(t, client, server, "word")
	defer s.Hold()() // nor does it wait for a holder
	g.stop()
	if r := next(t, ended); !errors.Is(r.Err, relay.ErrAborted) || r.Up != 4 {
		t.Errorf("ended with %+v", r)
	}
	if _, err := io.ReadAll(client); err == nil {
		t.Error("the client sees a clean end")
	}
	if err := s.Relay(client, server, nil, relay.Config{}); !errors.Is(err, relay.ErrClosed) {
		t.Errorf("a closed set says %v", err)
	}
}

func TestEcho(t *testing.T) {
	_, s := newSet(t, nil)
	near, far := pair(t)
	if err := s.Echo(near); err != nil {
		t.Fatal(err)
	}
	passes(t, far, far, "hello")
}

func TestOneSetForEachKind(t *testing.T) {
	g, _ := newSet(t, nil)
	if _, err := New(g, Options{Kind: "test"}); err == nil {
		t.Error("two sets receive one kind")
	}
}
