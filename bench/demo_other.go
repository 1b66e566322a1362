//go:build !unix

package bench

import "context"

// Demo is a running demo; there is none on this system.
type Demo struct{ DemoAddrs }

// StartDemo returns ErrNoDemo.
func StartDemo(context.Context, DemoOptions) (*Demo, error) { return nil, ErrNoDemo }

// Stop does nothing.
func (*Demo) Stop() error { return nil }

// LastWords returns nothing.
func (*Demo) LastWords(int) []string { return nil }
