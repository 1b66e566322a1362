// Package tlsmetrics tells Prometheus what a [tlsreload.Reloader] serves.
//
//	certs, err := tlsreload.New(ctx, tlsreload.Options{Sources: tlsreload.Pair("cert.pem", "key.pem")})
//	...
//	prometheus.MustRegister(tlsmetrics.NewCollector(certs, nil))
//
// # Model
//
// Nothing is counted here: each scrape asks for the Reloader's Status once, so that its numbers are of one moment, and
// makes metrics of it. Whoever does not import this package has no Prometheus among their dependencies.
//
//	baton_tls_certificate_not_after_seconds{name}   Unix time, alert days before
//	baton_tls_certificate_not_before_seconds{name}  Unix time; with the former it shows how much of the lifetime is left
//	baton_tls_client_ca_not_after_seconds{name}     Unix time, of the CA in the bundle that expires first
//	baton_tls_generation                            of what is served; 1 at the start
//	baton_tls_problems                              what is refused, or worth knowing, at this moment
//	baton_tls_last_success_timestamp_seconds        when the sources were last read without a problem; 0 for never
//	baton_tls_last_failure_timestamp_seconds        when something was last refused; 0 for never
//	baton_tls_reloads_total{result}                 changed, unchanged, refused
//	baton_tls_handshakes_total{resumed}             true, false
//	baton_tls_ticket_keys                           how many open session tickets
//
// # Limits
//
// A name is what the source calls a certificate, so that a renewal goes on with the same series; serials stand in
// Status. Ten thousand certificates are twenty thousand series. Handshakes that fail are not counted.
package tlsmetrics

import (
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-e3b9a99f/baton/tlsreload"
)

// NewCollector returns what r is like at each scrape. All its metrics have labels, which tell several Reloaders in one
// registry apart and may be nil for a single one; Register fails where two have the same. It may be scraped until and
// after r is closed.
func NewCollector(r *tlsreload.Reloader, labels prometheus.Labels) prometheus.Collector {
	desc := func(name, help string, variable ...string) *prometheus.Desc {
		return prometheus.NewDesc("baton_tls_"+name, help, variable, labels)
	}
	return &collector{
		r: r,
		notAfter: desc("certificate_not_after_seconds",
			"When a certificate that is served expires, in Unix time.", "name"),
		notBefore: desc("certificate_not_before_seconds",
			"From when a certificate that is served is valid, in Unix time.", "name"),
		caNotAfter: desc("client_ca_not_after_seconds",
			"When the first CA of a bundle of client CAs expires, in Unix time.", "name"),
		generation: desc("generation",
			"How often what is served has changed; 1 at the start."),
		problems: desc("problems",
			"Things that are refused, so that the last good ones are served, or else worth knowing, at this moment."),
		lastSuccess: desc("last_success_timestamp_seconds",
			"When all sources were last read without a problem, in Unix time; 0 for never."),
		lastFailure: desc("last_failure_timestamp_seconds",
			"When something of the sources was last refused, in Unix time; 0 for never."),
		reloads: desc("reloads_total",
			"How often the sources were read, by what came of it.", "result"),
		handshakes: desc("handshakes_total",
			"Handshakes that succeeded, by whether a session was resumed.", "resumed"),
		ticketKeys: desc("ticket_keys",
			"Keys that open session tickets."),
	}
}

type collector struct {
	r *tlsreload.Reloader

	notAfter, notBefore, caNotAfter *prometheus.Desc
	generation, problems            *prometheus.Desc
	lastSuccess, lastFailure        *prometheus.Desc
	reloads, handshakes, ticketKeys *prometheus.Desc
}

func (c *collector) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.notAfter, c.notBefore, c.caNotAfter, c.generation, c.problems,
		c.lastSuccess, c.lastFailure, c.reloads, c.handshakes, c.ticketKeys,
	} {
		descs <- d
	}
}

func (c *collector) Collect(metrics chan<- prometheus.Metric) {
	s := c.r.Status()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	counter := func(d *prometheus.Desc, value uint64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), labels...)
	}
	for _, cert := range s.Certificates {
		gauge(c.notAfter, seconds(cert.NotAfter), label(cert.Name))
		gauge(c.notBefore, seconds(cert.NotBefore), label(cert.Name))
	}
	for _, ca := range s.ClientCAs {
		gauge(c.caNotAfter, seconds(ca.NotAfter), label(ca.Name))
	}
	gauge(c.generation, float64(s.Generation))
	problems := len(s.Problems)
	if s.Tickets.Err != "" { // it stands apart in Status, and nobody would see it
		problems++
	}
	gauge(c.problems, float64(problems))
	gauge(c.lastSuccess, seconds(s.LastSuccess))
	gauge(c.lastFailure, seconds(s.LastFailure))
	counter(c.reloads, s.Reloads.Changed, "changed")
	counter(c.reloads, s.Reloads.Unchanged, "unchanged")
	counter(c.reloads, s.Reloads.Refused, "refused")
	counter(c.handshakes, s.Handshakes.Full, "false")
	counter(c.handshakes, s.Handshakes.Resumed, "true")
	gauge(c.ticketKeys, float64(s.Tickets.Keys))
}

// seconds is t in Unix time, to the millisecond. The zero Time is 0.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1e3
}

// label quotes a name that is no UTF-8, as a file's path may be: Prometheus would take the whole scrape for an error.
func label(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	return strconv.Quote(name)
}
