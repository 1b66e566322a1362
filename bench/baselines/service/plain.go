package service

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Plain serves with net/http alone until SIGTERM, and then as the example of [http.Server.Shutdown] does, within the
// drain deadline. The echo has no shutdown, and ends with the process. ready is called once all listeners are open.
func Plain(c Config, listen func(address string) (net.Listener, error), ready func() error) error {
	secure, err := c.TLS()
	if err != nil {
		return err
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	server := &http.Server{Handler: Handler(), TLSConfig: secure}
	ended := make(chan error, 3)
	for _, part := range []struct {
		address string
		serve   func(net.Listener) error
	}{
		{c.HTTP, server.Serve},
		{c.HTTPS, func(l net.Listener) error { return server.ServeTLS(l, "", "") }},
		{c.TCP, new(Echo).Serve},
	} {
		l, err := listen(part.address)
		if err != nil {
			return err
		}
		go func() { ended <- part.serve(l) }()
	}
	if err := ready(); err != nil {
		return err
	}
	select {
	case err := <-ended:
		return err
	case <-asked:
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.DrainOr(30*time.Second))
	defer cancel()
	return server.Shutdown(ctx)
}
