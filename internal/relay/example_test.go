package relay_test

import (
	"bufio"
	"errors"
	"fmt"
	"log"
	"net"

	"github.com/seed-e3b9a99f/baton/internal/relay"
)

// An echo that moves from one engine to another between two lines. The other engine may as well be in another process.
func Example() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	conn, err := ln.Accept()
	if err != nil {
		log.Fatal(err)
	}

	parent, err := relay.New(relay.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer parent.Close()
	child, err := relay.New(relay.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer child.Close()

	r, err := parent.Echo(conn, relay.Config{})
	if err != nil {
		log.Fatal(err)
	}
	answers := bufio.NewReader(client)
	fmt.Fprintln(client, "before")
	line, _ := answers.ReadString('\n')
	fmt.Print(line)

	switch st, err := r.Export(); {
	case errors.Is(err, errors.ErrUnsupported): // not on Linux: the parent goes on
	case err != nil:
		log.Fatal(err)
	default:
		if _, err := child.Import(st, relay.Config{}); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Fprintln(client, "after")
	line, _ = answers.ReadString('\n')
	fmt.Print(line)
	// Output:
	// before
	// after
}
