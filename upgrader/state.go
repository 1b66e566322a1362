package upgrader

import (
	"fmt"
	"strings"
	"sync"

	"github.com/seed-e3b9a99f/baton/upgrader/internal/control"
)

// stateMaintenance is the one blob of Baton's own.
const stateMaintenance = "baton/maintenance"

// state is the named blobs that a parent gives its child: never on disk, never in the environment.
type state struct {
	mu        sync.Mutex
	blobs     *control.Blobs // the parent's
	refreshed bool           // since the child inherited them
	providers map[string]func() []byte
	receivers map[string]func([]byte)
}

func (s *state) inherit(blobs *control.Blobs) {
	s.blobs = blobs
	s.providers, s.receivers = make(map[string]func() []byte), make(map[string]func([]byte))
}

// State returns the blob that the parent gave under name, and whether it gave one. The caller must not change it.
func (u *Upgrader) State(name string) ([]byte, bool) {
	u.state.mu.Lock()
	defer u.state.mu.Unlock()
	return u.state.blobs.Get(name)
}

// ProvideState has fn return what the next generation finds under name. It is called for every upgrade: before the
// child starts up, and again at commit for those who asked for it with OnState. A name that starts with "baton/" is
// refused, and so is one that is provided already. A blob has at most 256 MiB.
func (u *Upgrader) ProvideState(name string, fn func() []byte) error {
	if name == "" || len(name) > maxName || strings.HasPrefix(name, "baton/") {
		return fmt.Errorf("state %q: a name has 1 to %d bytes and does not start with baton/", name, maxName)
	}
	return u.state.provide(name, fn)
}

func (s *state) provide(name string, fn func() []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.providers[name] != nil {
		return fmt.Errorf("state %q is provided already", name)
	}
	s.providers[name] = fn
	return nil
}

// OnState has fn called with the blob called name as it is at commit, in the child, before it is in charge: what has
// changed since State, such as counters. It is not called where the parent was killed before commit.
func (u *Upgrader) OnState(name string, fn func([]byte)) {
	u.state.mu.Lock()
	defer u.state.mu.Unlock()
	u.state.receivers[name] = fn
}

// collect asks the providers.
func (s *state) collect() map[string][]byte {
	s.mu.Lock()
	providers := make(map[string]func() []byte, len(s.providers))
	for name, fn := range s.providers {
		providers[name] = fn
	}
	s.mu.Unlock()
	blobs := make(map[string][]byte, len(providers))
	for name, fn := range providers {
		blobs[name] = fn()
	}
	return blobs
}

// refresh takes in what the parent sends at commit.
func (s *state) refresh(m control.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.blobs.Add(m) == nil {
		s.refreshed = true
	}
}

// deliver calls those who want to know of what was refreshed.
func (s *state) deliver() {
	s.mu.Lock()
	var calls []func()
	for name, fn := range s.receivers {
		if blob, ok := s.blobs.Get(name); ok && s.refreshed {
			calls = append(calls, func() { fn(blob) })
		}
	}
	s.mu.Unlock()
	for _, call := range calls {
		call()
	}
}
