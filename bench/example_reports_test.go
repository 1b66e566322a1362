package bench_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/seed-e3b9a99f/baton/bench"
)

// echo is a server that answers with what it was sent.
func echo() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
}

// drive is a short run against a server, from an agreed time on.
func drive(server *httptest.Server, startAt time.Time) bench.Report {
	target, err := bench.ParseHTTP("http", server.URL)
	if err != nil {
		log.Fatal(err)
	}
	report, err := bench.Run(context.Background(), bench.Plan{
		Lanes: []bench.Lane{bench.KeepAlive(target)}, StartAt: startAt, Duration: 200 * time.Millisecond,
		LateAfter: time.Hour, // however busy the machine is
	})
	if err != nil {
		log.Fatal(err)
	}
	return report
}

// Two runs that go on at the same time, as if on two machines, become one report.
func ExampleMerge() {
	server := echo()
	defer server.Close()
	startAt := time.Now().Add(500 * time.Millisecond)
	var reports [2]bench.Report
	var both sync.WaitGroup
	for i := range reports {
		both.Go(func() { reports[i] = drive(server, startAt) })
	}
	both.Wait()

	merged, err := bench.Merge(reports[:]...)
	if err != nil {
		log.Fatal(err)
	}
	sum := reports[0].Verdict.Requests + reports[1].Verdict.Requests
	fmt.Println("runs:", merged.Runs, "all requests:", merged.Verdict.Requests == sum, "lost:", merged.Verdict.Lost)
	// Output: runs: 2 all requests: true lost: 0
}

// Two versions of a server, one after the other. Requests that were lost by neither say nothing against one of them.
func ExampleCompare() {
	before, after := echo(), echo()
	defer before.Close()
	defer after.Close()
	compared := bench.Compare(drive(before, time.Time{}), drive(after, time.Time{}))
	for _, lane := range compared.Lanes {
		lost := lane.Rows[0]
		fmt.Printf("%s: %s %v and %v, differ: %v\n", lane.Name, lost.What, lost.A.Value, lost.B.Value, lost.Differ)
	}
	// Output: http keep-alive: loss rate 0 and 0, differ: false
}
