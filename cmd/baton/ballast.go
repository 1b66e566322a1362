package main

import "os"

const ballastSize = 32 << 20

// newBallast returns memory that makes the collector wait for more garbage than there is memory in use, as long as
// somebody keeps it. A proxy has a heap of a few MB and makes garbage fast, so that Go's default, to collect when the heap
// has doubled, means dozens of times a second. Nobody writes to the ballast, so the machine has no page of it; what it
// costs is that so much more garbage may lie about. Who has set GOGC or GOMEMLIMIT has thought about it, and gets none.
func newBallast() []byte {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	return make([]byte, ballastSize)
}
