package demo

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/seed-e3b9a99f/baton/internal/relay"
	"github.com/seed-e3b9a99f/baton/internal/relayset"
	"github.com/seed-e3b9a99f/baton/upgrader"
)

// parcelEcho is an echo connection on its way to the next generation.
const parcelEcho = "demo/echo"

// serveEcho sends back what comes in on ln, and on connections that come from the parent, until this process ends.
func serveEcho(u *upgrader.Upgrader, log *slog.Logger, ln net.Listener) error {
	echoes, err := relayset.New(u, relayset.Options{
		Kind: parcelEcho, Loops: 2, Logger: log,
		Adopt: func([]byte) (relay.Config, error) { return relay.Config{}, nil },
	})
	if err != nil {
		return fmt.Errorf("tcp echo: %w", err)
	}
	u.Go(func() error {
		for {
			c, err := ln.Accept()
			switch {
			case errors.Is(err, net.ErrClosed):
				return err
			case err != nil: // a full fd table, say
				log.Warn("tcp echo", "err", err)
				time.Sleep(10 * time.Millisecond)
				continue
			}
			if err := echoes.Echo(c); err != nil {
				log.Warn("tcp echo", "err", err)
			}
		}
	})
	return nil
}
