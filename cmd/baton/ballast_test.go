package main

import (
	"runtime"
	"testing"
)

func TestBallastPutsTheCollectorOff(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "")
	for gogc, kept := range map[string]bool{"": true, "100": false} {
		t.Setenv("GOGC", gogc)
		ballast := newBallast()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		if later := m.NextGC > 2*ballastSize; later != kept {
			t.Errorf("with GOGC=%q the next collection is at %d bytes", gogc, m.NextGC)
		}
		runtime.KeepAlive(ballast)
	}
}
