package tlsmetrics_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/seed-e3b9a99f/baton/tlsreload"
	"github.com/seed-e3b9a99f/baton/tlsreload/tlsmetrics"
)

func ExampleNewCollector() {
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS() // for its certificate
	defer cert.Close()
	certs, err := tlsreload.New(context.Background(), tlsreload.Options{
		Sources: tlsreload.Static(cert.TLS.Certificates...), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer certs.Close()

	registry := prometheus.NewRegistry()
	registry.MustRegister(tlsmetrics.NewCollector(certs, prometheus.Labels{"listener": "web"}))

	scrape := httptest.NewRecorder()
	handler := promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	handler.ServeHTTP(scrape, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for line := range strings.Lines(scrape.Body.String()) {
		if strings.HasPrefix(line, "baton_tls_generation") || strings.HasPrefix(line, "baton_tls_certificate_not_after") {
			fmt.Print(line)
		}
	}
	// Output:
	// baton_tls_certificate_not_after_seconds{listener="web",name="certificate 1"} 3.6e+09
	// baton_tls_generation{listener="web"} 1
}
