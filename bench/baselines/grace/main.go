// Command grace uses github.com/facebookgo/grace as its gracedemo does. It serves nothing but HTTP, and its old process
// has a minute, which nobody can change. SIGUSR2 upgrades.
package main

import (
	"log"
	"net/http"
	"os"

	"github.com/facebookgo/grace/gracehttp"
	"github.com/seed-e3b9a99f/baton/bench/baselines/service"
)

func main() {
	c := service.Flags()
	secure, err := c.TLS()
	service.Must(err)
	gracehttp.SetLogger(log.New(os.Stderr, "", log.LstdFlags))
	// The library has no hook for it: the file names this process a little before it serves.
	service.Must(service.WritePID(c.PIDFile))
	service.Must(gracehttp.Serve(
		&http.Server{Addr: c.HTTP, Handler: service.Handler()},
		&http.Server{Addr: c.HTTPS, Handler: service.Handler(), TLSConfig: secure},
	))
}
