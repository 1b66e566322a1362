package proxy_test

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// BenchmarkPeers sets baton proxy beside HAProxy, nginx and Caddy. All run at the same time, each in front of the same
// servers, with the configuration in testdata/peers; the client is this process. They take turns of a slice of time, and
// the ratios are those of turns next to each other, so that the machine's drift cancels. What is measured of a proxy is
// also the CPU time of its processes, since client and servers take most of a small machine.
//
//	apt-get install haproxy nginx libnginx-mod-stream caddy    # and stop the services that this starts
//	go test ./proxy -run XXX -bench Peers -benchtime 5x
//
// It takes a little over two minutes. Those that are not installed are left out. A single load is Peers/http-keep-alive.
// BATON_PEERS_OTHER=FILE puts another baton beside this one, from before a change, say; BATON_PEERS_PROFILE=FILE writes a
// CPU profile of this one.
func BenchmarkPeers(b *testing.B) {
	all := startContenders(b)
	table := headings(all)
	for _, l := range loads() {
		b.Run(strings.NewReplacer(" ", "-", ",", "").Replace(l.name), func(b *testing.B) {
			table = append(table, l.bench(b, all)...)
		})
	}
	for _, cells := range table {
		fmt.Println("|", strings.Join(cells, " | "), "|")
	}
}

const (
	// slice is how long one turn lasts.
	slice = 600 * time.Millisecond
	// keptOpen is how many connections stay open where clients keep them, dialers how many are opened at a time.
	keptOpen, dialers = 64, 16
)

// A load is something that clients do.
type load struct {
	name string
	unit string                              // an operation
	at   func(*contender) netip.AddrPort     // not valid: the contender cannot do it
	run  func(*testing.B, *contender) sample // a turn
}

func loads() []load {
	web := func(c *contender) netip.AddrPort { return c.HTTP }
	tcp := func(c *contender) netip.AddrPort { return c.Echo }
	return []load{
		{"http keep-alive", "request", web, keepAlive(false, keptOpen, getSmall, smallBody)},
		{"http new connections", "request", web, newEach(connectPlain)},
		{"https keep-alive", "request", web, keepAlive(true, keptOpen, getSmall, smallBody)},
		{"https new, full", "request", web, newEach(connectFull)},
		{"https new, resumed", "request", web, newEach(connectResumed())},
		{"h2 small", "request", web, h2Load(4, 16)},
		{"http GET 1 MiB", "request", web, keepAlive(false, 8, getLarge, largeBody)},
		{"http POST 16 KiB", "request", web, keepAlive(false, 32, postSome, smallBody)},
		{"tcp messages", "exchange", tcp, messages},
		{"tcp new connections", "connection", tcp, dials},
		{"tcp bulk", "MiB", tcp, bulk},
	}
}

// A sample is what one turn gave. Each number is NaN where there is none.
type sample struct {
	rate     float64 // operations a second
	cpu      float64 // µs an operation
	p50, p99 float64 // ms
}

var metrics = []struct {
	unit   string // with %s for the operation
	format string
	of     func(sample) float64
}{
	{"%ss/s", "%.0f", func(s sample) float64 { return s.rate }},
	{"µs CPU/%s", "%.1f", func(s sample) float64 { return s.cpu }},
	{"p50 ms", "%.2f", func(s sample) float64 { return s.p50 }},
	{"p99 ms", "%.2f", func(s sample) float64 { return s.p99 }},
}

// bench gives everybody turns, and returns rows of the table.
func (l load) bench(b *testing.B, all []*contender) (rows [][]string) {
	samples := make([][]sample, len(all)) // by contender and round
	for round := 0; b.Loop(); round++ {
		for i := range all {
			i = (i + round) % len(all) // who comes first has no advantage of it
			s := sample{math.NaN(), math.NaN(), math.NaN(), math.NaN()}
			if l.at(all[i]).IsValid() {
				s = l.run(b, all[i])
			}
			samples[i] = append(samples[i], s)
		}
	}
	b.ReportMetric(0, "ns/op")
	for _, m := range metrics {
		unit := m.unit
		if strings.Contains(unit, "%s") {
			unit = fmt.Sprintf(unit, l.unit)
		}
		cells := []string{l.name + ": " + unit}
		for i, c := range all {
			v := median(samples[i], m.of)
			cells = append(cells, number(m.format, v))
			if !math.IsNaN(v) {
				b.ReportMetric(v, c.name+"-"+strings.ReplaceAll(unit, " ", "-"))
			}
		}
		for _, other := range samples[1:] {
			ratios := make([]float64, len(other))
			for j := range other {
				ratios[j] = m.of(samples[0][j]) / m.of(other[j])
			}
			cells = append(cells, number("%.2f", median(ratios, func(r float64) float64 { return r })))
		}
		if number("%v", m.of(samples[0][0])) != "" {
			rows = append(rows, cells)
		}
	}
	return rows
}

// headings are the first two rows of the table, which is in Markdown.
func headings(all []*contender) [][]string {
	cells := []string{""}
	for _, c := range all {
		cells = append(cells, c.name)
	}
	for _, c := range all[1:] {
		cells = append(cells, all[0].name+"/"+c.name)
	}
	return [][]string{cells, slices.Repeat([]string{"---"}, len(cells))}
}

// number is empty where there is none.
func number(format string, v float64) string {
	if math.IsNaN(v) {
		return ""
	}
	return fmt.Sprintf(format, v)
}

// measure takes the time and c's CPU time of run, which returns how many operations it did and, if that has been
// measured, how long they took.
func (c *contender) measure(b *testing.B, run func() (operations int, latencies []time.Duration)) sample {
	cpu, begin := c.cpu(b), time.Now()
	n, latencies := run()
	elapsed := time.Since(begin)
	used := c.cpu(b) - cpu
	if b.Failed() || n == 0 {
		b.Fatalf("%s failed, after %d operations", c.name, n)
	}
	s := sample{
		rate: float64(n) / elapsed.Seconds(), cpu: float64(used.Nanoseconds()) / 1000 / float64(n), p50: math.NaN(),
		p99: math.NaN(),
	}
	if n := len(latencies); n > 0 {
		slices.Sort(latencies)
		s.p50, s.p99 = latencies[n/2].Seconds()*1000, latencies[n*99/100].Seconds()*1000
	}
	return s
}

// repeat calls do over and over for a slice of time on each of n goroutines, and returns how often and how long each took.
func repeat(b *testing.B, n int, do func(i int) (time.Duration, error)) (int, []time.Duration) {
	latencies := make([][]time.Duration, n)
	var running sync.WaitGroup
	begin := time.Now()
	for i := range n {
		running.Go(func() {
			for time.Since(begin) < slice {
				took, err := do(i)
				if err != nil {
					b.Error(err)
					return
				}
				latencies[i] = append(latencies[i], took)
			}
		})
	}
	running.Wait()
	return gather(latencies)
}

func gather(latencies [][]time.Duration) (int, []time.Duration) {
	all := slices.Concat(latencies...)
	return len(all), all
}

func median[T any](of []T, value func(T) float64) float64 {
	all := make([]float64, len(of))
	for i, v := range of {
		all[i] = value(v)
	}
	slices.Sort(all)
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}
