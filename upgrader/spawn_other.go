//go:build !unix

package upgrader

import "os"

func spawn(string, []string, string, []string, []*os.File) (int, error) { return 0, ErrNotSupported }
