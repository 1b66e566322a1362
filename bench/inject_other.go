//go:build !unix

package bench

import (
	"context"
	"errors"
)

const canInject = false

// Misbehave returns an error, since there are no bad binaries here.
func Misbehave([]string) error { return errors.ErrUnsupported }

func (d *driver) inject(_ context.Context, e *Event) Upgrade {
	return d.failed(e.Number, errors.ErrUnsupported)
}
