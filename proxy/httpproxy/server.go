package httpproxy

import (
	"log/slog"
	"net/http"

	"github.com/seed-e3b9a99f/baton/proxy/config"
)

// Server returns a server with the limits of a listener, for upgrader.Serve or, where the listener has TLS, ServeTLS;
// its TLSConfig is the caller's to set. What net/http has to say goes to logger at debug level, since it is about
// single clients; a nil one means slog.Default.
//
// A request whose head is larger than max_header_bytes (and the 4 KiB that net/http adds) is answered 431.
func Server(l config.Listener, h http.Handler, logger *slog.Logger) *http.Server {
	if logger == nil {
		logger = slog.Default()
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(l.TLS != nil)
	protocols.SetUnencryptedHTTP2(l.TLS == nil && l.HTTP.H2C)
	return &http.Server{
		Handler:                      h,
		ReadHeaderTimeout:            l.HTTP.ReadHeaderTimeout,
		ReadTimeout:                  l.HTTP.ReadTimeout,
		WriteTimeout:                 l.HTTP.WriteTimeout,
		IdleTimeout:                  l.IdleTimeout,
		MaxHeaderBytes:               l.HTTP.MaxHeaderBytes,
		Protocols:                    protocols,
		DisableGeneralOptionsHandler: true, // OPTIONS * is for the upstream to answer
		ErrorLog:                     slog.NewLogLogger(logger.With("listener", l.Name).Handler(), slog.LevelDebug),
	}
}
