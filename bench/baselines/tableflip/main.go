// Command tableflip is the example of github.com/cloudflare/tableflip v1.2.3 for net/http, http_example_test.go, with
// HTTPS and a TCP echo beside it. Its example ends the old process after 30 s. SIGHUP upgrades.
package main

import (
	"context"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/cloudflare/tableflip"
	"github.com/seed-e3b9a99f/baton/bench/baselines/service"
)

func main() {
	c := service.Flags()
	upg, err := tableflip.New(tableflip.Options{PIDFile: c.PIDFile})
	service.Must(err)
	defer upg.Stop()
	go func() {
		sig := make(chan os.Signal, 1)
		signal.Notify(sig, syscall.SIGHUP)
		for range sig {
			if err := upg.Upgrade(); err != nil {
				log.Println("upgrade failed:", err)
			}
		}
	}()

	secure, err := c.TLS()
	service.Must(err)
	server := &http.Server{Handler: service.Handler(), TLSConfig: secure}
	echo := new(service.Echo)
	for _, part := range []struct {
		address string
		serve   func(net.Listener) error
	}{
		{c.HTTP, server.Serve},
		{c.HTTPS, func(l net.Listener) error { return server.ServeTLS(l, "", "") }},
		{c.TCP, echo.Serve},
	} {
		l, err := upg.Listen("tcp", part.address)
		service.Must(err)
		go part.serve(l)
	}
	service.Must(upg.Ready())
	<-upg.Exit()

	time.AfterFunc(c.DrainOr(30*time.Second), func() {
		log.Println("graceful shutdown timed out")
		os.Exit(1)
	})
	server.Shutdown(context.Background())
	echo.Wait()
}
