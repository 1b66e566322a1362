package metrics_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/seed-e3b9a99f/baton/proxy/metrics"
)

// A counter across an upgrade, with a parent that goes on counting while it drains.
func Example() {
	register := func(s *metrics.Set) *metrics.Counter {
		return s.Counter(metrics.RequestsTotal, "Requests answered.", "listener", "upstream", "method", "code")
	}
	parent, child := metrics.New(), metrics.New()

	before := register(parent).With("web", "app", "GET", "200")
	before.Add(1000)
	if err := child.Inherit(parent.Export()); err != nil {
		log.Print(err) // and serve: that counters start anew is no reason not to
	}
	register(child).With("web", "app", "GET", "200").Add(10)
	before.Inc() // the last request of a connection that could not move
	if err := child.Late(parent.Remainder()); err != nil {
		log.Print(err)
	}

	w := httptest.NewRecorder()
	child.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "baton_") {
			fmt.Print(line)
		}
	}
	// Output: baton_requests_total{code="200",listener="web",method="GET",upstream="app"} 1011
}
