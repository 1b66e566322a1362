//go:build !unix

package upgrader

import "os"

func replaceStderr(*os.File) error { return ErrNotSupported }
