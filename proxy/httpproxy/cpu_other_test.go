//go:build !unix

package httpproxy

import "time"

func cpuTime() time.Duration { return 0 }
