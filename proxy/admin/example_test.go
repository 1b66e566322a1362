package admin_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/seed-e3b9a99f/baton/proxy/admin"
)

// proxy is what an operator asks.
type proxy struct{ maintenance bool }

func (p *proxy) Status(context.Context) (admin.Status, error) {
	return admin.Status{Version: "1.4.0", PID: 4711, Generation: 3, Phase: "serving", Maintenance: p.maintenance,
		Listeners: []admin.Listener{{Name: "web", Protocol: "http", Address: ":8080", Connections: 12, Accepted: 3400}},
	}, nil
}

func (p *proxy) Upgrade(_ context.Context, progress func(string)) error {
	progress("started pid 4712")
	progress("pid 4712 is in charge")
	return nil
}

func (p *proxy) Reload(context.Context) (admin.ReloadResult, error) { return admin.ReloadResult{}, nil }
func (p *proxy) Maintenance() bool                                  { return p.maintenance }
func (p *proxy) SetMaintenance(on bool) error                       { p.maintenance = on; return nil }

// Both ends in one process.
func Example() {
	dir, err := os.MkdirTemp("", "admin")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "admin.sock")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		log.Fatal(err)
	}
	if err := admin.Restrict(socket); err != nil {
		log.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	srv := &http.Server{Handler: admin.Handler(&proxy{}, quiet), ConnContext: admin.ConnContext}
	go func() { _ = srv.Serve(ln) }()
	defer srv.Close()

	client, ctx := admin.NewClient(socket), context.Background()
	if err := client.Upgrade(ctx, func(step string) { fmt.Println(step) }); err != nil {
		log.Fatal(err)
	}
	if err := client.SetMaintenance(ctx, true); err != nil {
		log.Fatal(err)
	}
	status, err := client.Status(ctx)
	if err != nil {
		log.Fatal(err)
	}
	if err := status.Text(os.Stdout); err != nil {
		log.Fatal(err)
	}
	// Output:
	// started pid 4712
	// pid 4712 is in charge
	//   baton 1.4.0, generation 3 (pid 4711): serving
	// ! maintenance mode is on
	//
	//   LISTENER  PROTOCOL  ADDRESS  CONNECTIONS  ACCEPTED
	//   web       http      :8080    12           3400
}
