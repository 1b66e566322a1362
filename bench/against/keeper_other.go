//go:build !linux

package against

import "context"

// Reexec does nothing on this system.
func Reexec() {}

type keeper struct{}

// Start returns ErrNotSupported.
func (p Peer) Start(context.Context, string, Options) (*Running, error) { return nil, ErrNotSupported }

func (*keeper) stop() error { return nil }

func (*keeper) processes() int { return 0 }
