//go:build !linux

package relay

import (
	"errors"
	"fmt"
)

func (e *engine) connect(int, Target, Config) (*Relay, error) {
	return nil, fmt.Errorf("relay: connect: %w", errors.ErrUnsupported)
}

func (s *session) connecting() bool { return false }

// resetAndClose has nothing to do: Connect took no descriptor.
func resetAndClose(int) {}
