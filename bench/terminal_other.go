//go:build !unix

package bench

import "io"

func isTerminal(io.Writer) bool { return false }
