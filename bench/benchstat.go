package bench

import (
	"bufio"
	"fmt"
	"io"
)

// WriteBenchmarks writes the report in the form of Go's benchmark results, a line for each lane, which benchstat reads.
// Write several runs of each version into one file, so that it can tell differences from chance. Latencies are of the
// whole run, and "upgrading" those of what touched an upgrade.
//
// See https://go.dev/design/14313-benchmark-format.
func WriteBenchmarks(w io.Writer, r Report) error {
	buf := bufio.NewWriter(w)
	fmt.Fprintf(buf, "pkg: baton/bench\nplan: %s\n", oneLine(r.Plan))
	for _, l := range r.Lanes {
		fmt.Fprintf(buf, "Benchmark/lane=%s %d", tagOf(l.Name), max(1, l.Operations))
		for _, of := range []struct {
			name    string
			windows []Window
		}{{"", []Window{l.Before, l.During, l.After}}, {"upgrading-", []Window{l.During}}} {
			for _, q := range []struct {
				name    string
				percent float64
			}{{"p50", 50}, {"p99", 99}, {"p99.9", 99.9}} {
				if e, ok := quantileOf(q.percent, of.windows...); ok {
					fmt.Fprintf(buf, " %.0f %s%s-ns", e.Value*1e6, of.name, q.name)
				}
			}
		}
		fmt.Fprintf(buf, " %.0f stall-ns %d lost %d reopened\n", l.Stall*1e6, l.Lost, l.Reopened)
	}
	return buf.Flush()
}
