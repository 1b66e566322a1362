// Command endless uses github.com/fvbock/endless as its README and its examples/multi_port.go do: in the place of
// http.ListenAndServe and http.ListenAndServeTLS. It serves nothing but HTTP. Its hammer time is 60 s by default.
// SIGHUP upgrades.
package main

import (
	"log"
	"sync"

	"github.com/fvbock/endless"
	"github.com/seed-e3b9a99f/baton/bench/baselines/service"
)

func main() {
	c := service.Flags()
	endless.DefaultHammerTime = c.DrainOr(endless.DefaultHammerTime)
	plain := endless.NewServer(c.HTTP, service.Handler())
	secure := endless.NewServer(c.HTTPS, service.Handler())
	plain.BeforeBegin = func(string) { service.Must(service.WritePID(c.PIDFile)) }

	var serving sync.WaitGroup
	serving.Go(func() { log.Println(plain.ListenAndServe()) })
	serving.Go(func() { log.Println(secure.ListenAndServeTLS(c.Cert, c.Key)) })
	serving.Wait()
}
