package config_test

import (
	"fmt"

	"github.com/seed-e3b9a99f/baton/proxy/config"
)

func Example() {
	c, err := config.Parse("baton.yaml", []byte(`
listeners:
  - {name: db, address: ":5433", protocol: tcp, upstream: pg}
upstreams:
  pg: {servers: [127.0.0.1:5432]}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	l := c.Listeners[0]
	fmt.Println(l.Name, "listens on", l.Address, "for", c.Upstreams[l.Upstream].Servers)
	fmt.Println("idle connections live", l.IdleTimeout)
	// Output:
	// db listens on :5433 for [127.0.0.1:5432]
	// idle connections live 1h0m0s
}

// All mistakes come at once.
func ExampleParse_mistakes() {
	_, err := config.Parse("baton.yaml", []byte(`
listeners:
  - name: web
    address: "8080"
    protocol: htp
    upstream: ap
    idle_timeout: 30
upstreams:
  app: {servers: [127.0.0.1:9000], balanced: least_conn}
`))
	for _, m := range config.Mistakes(err) {
		fmt.Println(m)
	}
	// Output:
	// baton.yaml:4:14: listeners[0].address: "8080" is no address: did you mean ":8080"?
	// baton.yaml:5:15: listeners[0].protocol: "htp" is no protocol: give http, tcp or tls-passthrough
	// baton.yaml:6:15: listeners[0].upstream: "ap" is no upstream: did you mean app?
	// baton.yaml:7:19: listeners[0].idle_timeout: "30" has no unit: give a duration such as 30s
	// baton.yaml:9:36: upstreams.app.balanced: is no key here: did you mean balance?
}

func ExampleFromFlags() {
	c, err := config.FromFlags([]string{"http://:8080=127.0.0.1:9000,127.0.0.1:9001"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.Listeners[0].Name, c.Upstreams["http-8080"].Servers)
	// Output: http-8080 [127.0.0.1:9000 127.0.0.1:9001]
}
