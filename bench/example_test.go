package bench_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"time"

	"github.com/seed-e3b9a99f/baton/bench"
)

// A server that says in a header which generation it is, and that is "upgraded" by counting it up.
func Example() {
	var generation atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Generation", fmt.Sprint(generation.Load()))
		io.Copy(w, r.Body)
	}))
	defer server.Close()

	target, err := bench.ParseHTTP("http", server.URL)
	if err != nil {
		log.Fatal(err)
	}
	target.GenerationHeader = "Generation"
	report, err := bench.Run(context.Background(), bench.Plan{
		Lanes: []bench.Lane{bench.NewConnections(target), bench.KeepAlive(target)},
		Conns: 10,
		Upgrades: &bench.Upgrades{
			Count:    3,
			Interval: 100 * time.Millisecond,
			Trigger: func(context.Context) error {
				generation.Add(1)
				return nil
			},
		},
		LateAfter: time.Hour, // however busy the machine is
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, u := range report.Upgrades {
		fmt.Printf("upgrade %d: from generation %s to %s\n", u.Number, u.FromGeneration, u.ToGeneration)
	}
	fmt.Println("lost:", report.Verdict.Lost, "passed:", report.Verdict.Pass)
	// Output:
	// upgrade 1: from generation 0 to 1
	// upgrade 2: from generation 1 to 2
	// upgrade 3: from generation 2 to 3
	// lost: 0 passed: true
}
