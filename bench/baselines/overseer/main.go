// Command overseer uses github.com/jpillora/overseer v1.1.6 as its README does ("Only use graceful restarts"). Its
// TerminateTimeout is 30 s by default. The master keeps its pid; SIGUSR2 to it restarts the program.
package main

import (
	"log"
	"net"
	"net/http"
	"os"
	"sync"

	"github.com/jpillora/overseer"
	"github.com/seed-e3b9a99f/baton/bench/baselines/service"
)

func main() {
	c := service.Flags()
	if os.Getenv("OVERSEER_IS_SLAVE") == "" {
		service.Must(service.WritePID(c.PIDFile))
	}
	overseer.Run(overseer.Config{
		Required:         true,
		Program:          func(state overseer.State) { serve(c, state) },
		Addresses:        []string{c.HTTP, c.HTTPS, c.TCP},
		TerminateTimeout: c.Drain,
	})
}

// serve returns when all connections of a process that was told to end are closed, since the listeners' Close waits.
func serve(c service.Config, state overseer.State) {
	var serving sync.WaitGroup
	run := func(serve func(l net.Listener) error, l net.Listener) {
		serving.Go(func() { log.Println(serve(l)) })
	}
	run(func(l net.Listener) error { return http.Serve(l, service.Handler()) }, state.Listeners[0])
	run(func(l net.Listener) error { return http.ServeTLS(l, service.Handler(), c.Cert, c.Key) }, state.Listeners[1])
	run(func(l net.Listener) error {
		err := new(service.Echo).Serve(l)
		l.Close() // waits, as net/http has it do above
		return err
	}, state.Listeners[2])
	serving.Wait()
}
