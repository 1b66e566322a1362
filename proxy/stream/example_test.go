package stream_test

import (
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"

	"github.com/seed-e3b9a99f/baton/internal/relayset"
	"github.com/seed-e3b9a99f/baton/proxy/config"
	"github.com/seed-e3b9a99f/baton/proxy/stream"
	"github.com/seed-e3b9a99f/baton/proxy/upstream"
	"github.com/seed-e3b9a99f/baton/upgrader"
)

// process is what a program takes an *upgrader.Upgrader for.
type process struct{ exit, done chan struct{} }

func (p process) OnParcel(string, func(upgrader.Parcel) error) error { return nil }
func (p process) OnHandover(func())                                  {}
func (p process) SendParcel(upgrader.Parcel) error                   { return upgrader.ErrNoReceiver }
func (p process) Go(fn func() error)                                 { go func() { _ = fn(); close(p.done) }() }
func (p process) Exit() <-chan struct{}                              { return p.exit }
func (p process) Done() <-chan struct{}                              { return nil }
func (p process) ChildPID() int                                      { return 0 }

func Example() {
	u := process{make(chan struct{}), make(chan struct{})}
	quiet := slog.New(slog.DiscardHandler)
	relays, err := relayset.New(u, relayset.Options{Kind: "example", Logger: quiet})
	if err != nil {
		log.Fatal(err)
	}

	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	go func() {
		if c, err := server.Accept(); err == nil {
			_, _ = io.WriteString(c, "hello")
			c.Close()
		}
	}()

	cfg := config.Upstream{Servers: []string{server.Addr().String()}}
	pool, err := upstream.New("app", cfg, upstream.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()

	ended := make(chan stream.Event)
	s := stream.New("db", stream.Options{
		Relays: relays, Logger: quiet, Exit: u.Exit(), Done: u.Done(), Observe: func(e stream.Event) { ended <- e },
	})
	s.Use(stream.Settings{
		Listener:  config.Listener{Protocol: config.TCP, Upstream: "app"},
		Upstreams: map[string]*stream.Upstream{"app": {Pool: pool, Config: cfg}},
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- s.Serve(ln) }()

	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	answer, err := io.ReadAll(client)
	client.Close()
	e := <-ended
	fmt.Printf("%s %v; %s to %s: %d bytes\n", answer, err, e.Listener, e.Upstream, e.Down)

	close(u.exit)
	ln.Close()
	fmt.Println(<-served)
	<-u.done
	// Output:
	// hello <nil>; db to app: 5 bytes
	// <nil>
}
