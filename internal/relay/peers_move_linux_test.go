package relay

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// movers are two relaying processes, and what moves from one to the other.
type movers struct {
	from, to *contender
}

func startMovers(b *testing.B) *movers {
	b.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		b.Fatal(err)
	}
	backend := startOurs(b, "backend", "peersBackend", addresses{}, nil).addresses
	var both []*contender
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "channel")
		defer f.Close()
		both = append(both, startOurs(b, fmt.Sprint("mover ", i), "peersRelay", backend, f))
	}
	return &movers{both[0], both[1]}
}

// move has every relay moved to the other process and returns how many it has then.
func (m *movers) move(b *testing.B) (n int) {
	if _, err := io.WriteString(m.from.in, "move\n"); err != nil {
		b.Error(err)
	}
	if _, err := fmt.Fscan(m.to.out, &n); err != nil {
		b.Error(err)
	}
	m.from, m.to = m.to, m.from
	return n
}

// moveOften moves every relay, of which there are n, each 100 ms until stop is called.
func (m *movers) moveOften(b *testing.B, n int) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for tick := time.Tick(100 * time.Millisecond); ; {
			select {
			case <-tick:
				if got := m.move(b); got != n {
					b.Errorf("%d relays arrived, not %d", got, n)
				}
			case <-quit:
				return
			}
		}
	}()
	return func() { close(quit); <-done }
}

// BenchmarkHandoverThroughput shows what traffic feels while its relays move between two processes every 100 ms. The
// connections are the same throughout.
func BenchmarkHandoverThroughput(b *testing.B) {
	m := startMovers(b)
	table := newTable("", "before", "during", "after", "during/before", "after/before")
	phases := func(b *testing.B, relays int, name, unit, format string, measure func() (rate float64, latencies []time.Duration)) {
		rates, latencies := make([][]float64, 3), make([][]time.Duration, 3)
		for b.Loop() {
			for i := range rates {
				stop := func() {}
				if i == 1 {
					stop = m.moveOften(b, relays)
				}
				rate, l := measure()
				stop()
				rates[i], latencies[i] = append(rates[i], rate), append(latencies[i], l...)
			}
		}
		b.ReportMetric(0, "ns/op")
		self := func(v float64) float64 { return v }
		before, during, after := median(rates[0], self), median(rates[1], self), median(rates[2], self)
		b.ReportMetric(during/before, "during/before")
		cells := []string{name + ": " + unit}
		for _, v := range []float64{before, during, after} {
			cells = append(cells, fmt.Sprintf(format, v))
		}
		table.add(append(cells, fmt.Sprintf("%.2f", during/before), fmt.Sprintf("%.2f", after/before))...)
		if len(latencies[0]) == 0 {
			return
		}
		for _, q := range []struct {
			name string
			of   func(n int) int
		}{{"p99 ms", func(n int) int { return n * 99 / 100 }}, {"longest ms", func(n int) int { return n - 1 }}} {
			cells := []string{name + ": " + q.name}
			for _, l := range latencies {
				slices.Sort(l)
				cells = append(cells, fmt.Sprintf("%.2f", l[q.of(len(l))].Seconds()*1000))
			}
			table.add(append(cells, "", "")...)
		}
	}
	b.Run("small-messages", func(b *testing.B) {
		conns := dialMany(b, m.from.echo, messengers)
		defer closeMany(conns)
		phases(b, messengers, "small messages", "exchanges/s", "%.0f", func() (float64, []time.Duration) {
			begin := time.Now()
			n, latencies := exchange(b, conns, slice)
			return n / time.Since(begin).Seconds(), latencies
		})
	})
	b.Run("bulk-1-stream", func(b *testing.B) {
		s := openStream(b, m.from.sink)
		defer s.finish(b)
		phases(b, 1, "bulk, 1 stream", "GB/s", "%.2f", func() (float64, []time.Duration) {
			written, begin := s.written.Load(), time.Now()
			time.Sleep(slice)
			return float64(s.written.Load()-written) / 1e9 / time.Since(begin).Seconds(), nil
		})
	})
	table.print()
}

// BenchmarkHandoverRate moves many idle relays, of two sockets each, from one process to another: Export, SCM_RIGHTS,
// Import. Every connection must answer afterwards.
func BenchmarkHandoverRate(b *testing.B) {
	for _, n := range []int{1000, 4000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m := startMovers(b)
			conns := dialMany(b, m.from.echo, n)
			defer closeMany(conns)
			var rates []float64
			for b.Loop() {
				begin := time.Now()
				if got := m.move(b); got != n {
					b.Fatalf("%d relays arrived, not %d", got, n)
				}
				rates = append(rates, float64(n)/time.Since(begin).Seconds())
			}
			for _, c := range conns {
				if err := roundTrip(c, make([]byte, messageSize)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(median(rates, func(r float64) float64 { return r }), "conns/s")
		})
	}
}

// exportAll sends all relays of e, eight under way at a time: an export waits for its relay's loop.
func exportAll(e *Engine, ch channel) {
	all := make(chan *Relay)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for r := range all {
				st, err := r.Export()
				if err == nil {
					err = ch.send(st)
				}
				if err != nil && !errors.Is(err, ErrEnded) {
					fmt.Fprintln(os.Stderr, "export:", err)
				}
			}
		})
	}
	for _, r := range e.Relays() {
		all <- r
	}
	close(all)
	wg.Wait()
}

// importAll takes in relays, and writes a line each time that it has all that the other process had.
func importAll(e *Engine, ch channel) {
	blob, oob := make([]byte, 128<<10), make([]byte, 256)
	for {
		n, oobn, _, _, err := ch.c.ReadMsgUnix(blob, oob)
		if err != nil {
			return
		}
		if oobn == 0 {
			fmt.Println(e.Len())
			continue
		}
		st := State{Blob: blob[:n]}
		msgs, err1 := unix.ParseSocketControlMessage(oob[:oobn])
		fds, err2 := unix.ParseUnixRights(&msgs[0])
		for _, fd := range fds {
			st.Files = append(st.Files, os.NewFile(uintptr(fd), "received"))
		}
		_, err3 := e.Import(st, Config{})
		if err := errors.Join(err1, err2, err3); err != nil {
			fmt.Fprintln(os.Stderr, "import:", err)
			return
		}
	}
}
