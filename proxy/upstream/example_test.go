package upstream_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/netip"

	"github.com/seed-e3b9a99f/baton/proxy/config"
	"github.com/seed-e3b9a99f/baton/proxy/upstream"
)

// One of two servers is gone: its connection goes to the other one.
func Example() {
	well, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer well.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	gone.Close()

	pool, err := upstream.New("app", config.Upstream{
		Servers: []string{gone.Addr().String(), well.Addr().String()},
	}, upstream.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()

	connect := func(client netip.Addr) (net.Conn, *upstream.Lease, error) {
		var tried []*upstream.Server
		for {
			lease, err := pool.Pick(client, tried)
			if err != nil {
				return nil, nil, err
			}
			conn, err := pool.Dial(context.Background(), lease.Server())
			if err == nil {
				return conn, lease, nil
			}
			fmt.Println("one server does not answer")
			lease.Failed(err)
			lease.Release()
			tried = append(tried, lease.Server())
		}
	}
	conn, lease, err := connect(netip.MustParseAddr("192.0.2.7"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("connected, active:", lease.Server().Active())
	lease.Succeeded()
	conn.Close()
	lease.Release()

	well.Close()
	_, _, err = connect(netip.MustParseAddr("192.0.2.7"))
	fmt.Println("none left:", errors.Is(err, upstream.ErrNoServer))
	// Output:
	// one server does not answer
	// connected, active: 1
	// one server does not answer
	// one server does not answer
	// none left: true
}
