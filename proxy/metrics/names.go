package metrics

// The proxy's metrics, with their labels. Dashboards and alerts are written against these names.
const (
	ConnectionsTotal    = "baton_connections_total"             // listener
	Connections         = "baton_connections"                   // listener
	RequestsTotal       = "baton_requests_total"                // listener, upstream, method, code
	RequestSeconds      = "baton_request_seconds"               // listener, upstream; a histogram
	ErrorsTotal         = "baton_errors_total"                  // listener, upstream, class
	RetriesTotal        = "baton_retries_total"                 // upstream
	BytesTotal          = "baton_bytes_total"                   // listener, direction
	UpstreamUp          = "baton_upstream_up"                   // upstream, server; 1 or 0
	UpstreamActive      = "baton_upstream_active"               // upstream, server
	UpstreamFailures    = "baton_upstream_failures_total"       // upstream, server
	UpgradesTotal       = "baton_upgrades_total"                // result: ok, or why not
	ReloadsTotal        = "baton_reloads_total"                 // result: ok, or why not
	Generation          = "baton_generation"                    // of the process that answers
	GenerationsLiving   = "baton_generations_living"            //
	Maintenance         = "baton_maintenance"                   // 1 or 0
	RelaysMovedTotal    = "baton_relays_moved_total"            //
	TLSHandshakesTotal  = "baton_tls_handshakes_total"          // listener, resumed
	CertificateNotAfter = "baton_certificate_not_after_seconds" // listener, source; Unix time
)

// Names are all of them.
var Names = []string{
	ConnectionsTotal, Connections, RequestsTotal, RequestSeconds, ErrorsTotal, RetriesTotal, BytesTotal, UpstreamUp,
	UpstreamActive, UpstreamFailures, UpgradesTotal, ReloadsTotal, Generation, GenerationsLiving, Maintenance,
	RelaysMovedTotal, TLSHandshakesTotal, CertificateNotAfter,
}

// SecondsBuckets are the buckets of RequestSeconds. A version with other buckets starts the histogram anew.
var SecondsBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
