package tickets_test

import (
	"crypto/tls"
	"fmt"
	"time"

	"github.com/seed-e3b9a99f/baton/internal/tickets"
)

func Example() {
	now := time.Now()
	ring := tickets.New(12*time.Hour, 4, now)
	var config tls.Config
	ring.Use(&config, "web")

	now = ring.Next(now)
	fmt.Println("rotated:", ring.Rotate(now))

	next := tickets.New(12*time.Hour, 4, now) // in the next process
	if err := next.Import(ring.Export(), now); err != nil {
		fmt.Println(err)
	}
	keys, _ := next.State()
	fmt.Println("keys:", keys)
	fmt.Println(next.Import([]byte("garbage"), now))
	// Output:
	// rotated: true
	// keys: 2
	// import ticket keys: these bytes are no ticket keys; clients need a full handshake each, nothing else is lost
}
