package bench_test

import (
	"fmt"
	"log"

	"github.com/seed-e3b9a99f/baton/bench"
)

// What makes a build fail, and what it then says.
func ExampleParseConditions() {
	conditions, err := bench.ParseConditions("lost>0, stall>1s, void")
	if err != nil {
		log.Fatal(err)
	}
	report := bench.Report{Lanes: []bench.LaneReport{
		{Name: "http keep-alive", Operations: 1000, OK: 997, Lost: 3},
		{Name: "tcp long", Operations: 1000, OK: 1000, Stall: 1250},
	}}
	for _, line := range conditions.Met(report) {
		fmt.Println(line)
	}
	// Output:
	// http keep-alive: lost is 3 (fails on lost>0)
	// tcp long: stall is 1,250 ms (fails on stall>1s)
}
