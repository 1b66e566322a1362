package relayset

import (
	"github.com/seed-e3b9a99f/baton/internal/relay"
)

// Connect connects to a server without waiting, and relays between client and it, as relay.Engine's Connect: it takes
// ownership of client unless it returns an error, and either to.OnFail or config.OnEnd hears of the end. A relay whose
// server has not answered when the process is replaced moves once it has; so does one that begins after that. The set
// does not close before to.OnFail has returned, which may call Connect again.
func (s *Set) Connect(client int, to relay.Target, note []byte, config relay.Config) error {
	m := &member{note: note, config: config}
	failed := to.OnFail
	to.OnFail = func(client int, err error) {
		s.forget(m)
		if failed == nil {
			relay.Reset(client)
			return
		}
		failed(client, err)
	}
	err := s.keep(m, func(c relay.Config) (*relay.Relay, error) { return s.engine.Connect(client, to, c) })
	if err == nil && s.replaced() {
		s.sendLater(m)
	}
	return err
}

// sendLater moves a relay when it has connected, for which nobody waits.
func (s *Set) sendLater(m *member) {
	release := s.Hold()
	go func() {
		defer release()
		s.send(m)
	}()
}
