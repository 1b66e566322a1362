package demo

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"github.com/seed-e3b9a99f/baton/tlsreload"
	"github.com/seed-e3b9a99f/baton/upgrader"
)

// stateTickets are the keys of TLS session tickets.
const stateTickets = "demo/ticket-keys"

// serveTLS serves srv on ln, with a certificate that may change.
func serveTLS(ctx context.Context, u *upgrader.Upgrader, log *slog.Logger, c Config, srv *http.Server, ln net.Listener) error {
	options := tlsreload.Options{Sources: tlsreload.Pair(c.Cert, c.Key), Logger: log}
	if c.Cert == "" {
		own, err := certificate(u)
		if err != nil {
			return fmt.Errorf("demo certificate: %w", err)
		}
		options.Sources = tlsreload.Static(own)
	}
	certs, err := tlsreload.New(ctx, options)
	if err != nil {
		return err
	}
	if blob, ok := u.State(stateTickets); ok {
		if err := certs.Tickets().Import(blob); err != nil { // clients need a full handshake
			log.Warn("session tickets of before do not resume", "err", err)
		}
	}
	if err := u.ProvideState(stateTickets, certs.Tickets().Export); err != nil {
		return err
	}
	certs.Attach(srv)
	u.Go(func() error {
		defer certs.Close()
		return u.ServeTLS(srv, ln, "", "")
	})
	return nil
}
