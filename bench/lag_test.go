package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"testing"
	"time"
)

// The benchmark's server is another process, so that the client has a core to itself.
func init() {
	helpers["lag server"] = func() error {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		fmt.Println(ln.Addr())
		go http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
		io.Copy(io.Discard, os.Stdin) // until the benchmark ends
		return nil
	}
}

// BenchmarkLag measures how late the generator begins requests that a free connection waits for, on one core. At 20,000
// a second 99 of 100 must begin within a millisecond, or the run must say that it is void.
func BenchmarkLag(b *testing.B) {
	server := runHelper("lag server")
	stdin, err := server.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := server.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	defer server.Wait()
	defer stdin.Close()
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	target, err := ParseHTTP("http", addr[:len(addr)-1])
	if err != nil {
		b.Fatal(err)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	nothing := fake{name: "nothing", persistent: true}
	for _, lane := range []Lane{nothing, KeepAlive(target)} {
		for _, rate := range []float64{2_000, 10_000, 20_000} {
			b.Run(fmt.Sprintf("lane=%s/rate=%g", tagOf(lane.Name()), rate), func(b *testing.B) {
				for b.Loop() {
					report, err := Run(context.Background(), Plan{Lanes: []Lane{lane}, Rate: rate, Duration: 2 * time.Second})
					if err != nil {
						b.Fatal(err)
					}
					if rate >= 20_000 && report.Lag.P99 > 1 && !report.Verdict.Void {
						b.Errorf("p99 lag is %g ms, and the run says %s", report.Lag.P99, report.Verdict.Line)
					}
					b.ReportMetric(report.Lag.P50*1e6, "lag-p50-ns")
					b.ReportMetric(report.Lag.P99*1e6, "lag-p99-ns")
					b.ReportMetric(report.ClientWait*1e6, "wait-p99-ns")
					b.ReportMetric(oneIf(report.Verdict.Void), "void")
					b.ReportMetric(float64(report.Lanes[0].OK)/report.Duration, "ok/s")
				}
			})
		}
	}
}
