package testing

import (
	"context"

	"github.com/seed-e3b9a99f/baton/upgrader"
)

// Upgrader never upgrades and never ends. Any number of them may be made.
type Upgrader struct{ *Fds }

// New returns a stub Upgrader and no error.
func New() (*Upgrader, error) { return &Upgrader{&Fds{}}, nil }

// Ready returns nil.
func (u *Upgrader) Ready() error { return nil }

// Exit returns a channel that is never closed.
func (u *Upgrader) Exit() <-chan struct{} { return nil }

// Stop does nothing.
func (u *Upgrader) Stop() {}

// WaitForParent returns nil at once: there is none.
func (u *Upgrader) WaitForParent(context.Context) error { return nil }

// HasParent returns false.
func (u *Upgrader) HasParent() bool { return false }

// Upgrade returns upgrader.ErrNotSupported.
func (u *Upgrader) Upgrade() error { return upgrader.ErrNotSupported }
