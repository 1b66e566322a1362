package bench_test

import (
	"fmt"
	"log"

	"github.com/seed-e3b9a99f/baton/bench"
)

// A lane by the name that somebody chose, with a request of their own.
func ExampleNewLane() {
	target, err := bench.ParseHTTP("https", "https://shop.example/cart")
	if err != nil {
		log.Fatal(err)
	}
	target.Method, target.Body, target.Expect = "PUT", []byte(`{"item":1}`), 204
	for _, name := range []string{"https-new-resumed", "tcp-long"} {
		lane, err := bench.NewLane(name, bench.Targets{HTTPS: &target})
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(lane.Name())
	}
	// Output:
	// https new resumed
	// lane tcp-long needs a server to talk tcp to: say where it is
}
