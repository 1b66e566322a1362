package relay

import (
	"sync"
	"testing"
)

// Export and Import of one relay after the other, from one engine to another.
func BenchmarkMove(b *testing.B) {
	from, to := newEngines(b)
	client, server, r := start(b, from, Config{})
	defer client.Close()
	defer server.Close()
	for range b.N {
		r = move(b, r, to, Config{})
		from, to = to, from
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "moves/s")
}

// All relays of an engine, eight exports under way at a time.
func BenchmarkMoveAll(b *testing.B) {
	const relays = 1000
	from, to := newEngines(b)
	for range relays {
		start(b, from, Config{})
	}
	b.ResetTimer()
	for range b.N {
		work := make(chan *Relay)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for r := range work {
					move(b, r, to, Config{})
				}
			})
		}
		for _, r := range from.Relays() {
			work <- r
		}
		close(work)
		wg.Wait()
		if to.Len() != relays {
			b.Fatalf("%d relays of %d", to.Len(), relays)
		}
		from, to = to, from
	}
	b.ReportMetric(float64(relays*b.N)/b.Elapsed().Seconds(), "moves/s")
}
