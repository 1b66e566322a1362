// Command restart is what most services do: net/http and a service manager that stops the server by SIGTERM, waits for
// its end, and starts it anew (systemctl restart; systemd.service(5), systemd.kill(5)). SIGHUP restarts it.
package main

import (
	"net"

	"github.com/seed-e3b9a99f/baton/bench/baselines/service"
)

func main() {
	c := service.Flags()
	if service.Supervised() {
		listen := func(address string) (net.Listener, error) { return net.Listen("tcp", address) }
		service.Must(service.Plain(c, listen, service.Serving))
		return
	}
	service.Must(service.Supervise(c.PIDFile, func(old *service.Process) (*service.Process, error) {
		old.Terminate()
		old.Wait()
		return service.Launch()
	}))
}
