// Package metrics counts what the proxy does, in Prometheus counters and histograms that do not fall back to zero at an
// upgrade.
//
//	s := metrics.New()
//	requests := s.Counter(metrics.RequestsTotal, "Requests answered.", "listener", "upstream", "method", "code")
//	web200 := requests.With("web", "app", "GET", "200") // once
//	web200.Inc()                                        // per request: one atomic addition
//	http.Handle("/metrics", s.Handler())
//
// # Model
//
// What is exposed is the sum of three things: what this process counted, what its parent had counted when it told
// (Inherit), and what older generations that still drained counted after that (Late).
//
//	parent: Export ──────▶ child: Inherit   before the child is ready, and again at commit, in place of the first
//	parent: Remainder ───▶ child: Late      after commit, as often as the parent likes, and as it ends: each adds
//
// Everything is told once, whatever is counted meanwhile: Export and Remainder remember what they told, and the next
// Remainder tells the rest. An upgrade that is rolled back costs nothing, since the next Export tells it all again. A
// remainder may reach any generation that is in charge by then, and travels on with what that one tells its own child.
//
// A family is known by its name, its labels and its buckets. What a parent tells of a family that this version does not
// have is kept and told to the next generation, and not exposed.
//
// # Limits
//
// Label values must come from the configuration or from a short list (a method, a status code), never from a client. As
// a safety net a family has at most 10,000 children; what comes after counts for a child whose labels are all "other".
// A label's value is cut at 128 bytes.
//
// Until a parent tells its remainder, what it counts while it drains is missing; if it is killed, that stays missing.
// Sums of histograms are floating-point: a remainder's is exact to about 15 digits. Gauges, and the metrics of the Go
// runtime and the process, are those of the process that answers.
package metrics
