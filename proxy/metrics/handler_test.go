package metrics

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func TestHandler(t *testing.T) {
	s := New()
	s.Counter(RequestsTotal, "Requests answered.", "code").With("200").Add(3)
	s.Histogram(RequestSeconds, "How long.", []float64{0.5}, "listener").With("web").Observe(0.25)
	active := 7.0
	s.Gauge(UpstreamActive, "Now.", []string{"server"}, func() []Sample {
		return []Sample{{[]string{"a"}, 1}, {[]string{"b"}, 2}, {[]string{"a"}, active}}
	})
	const want = `# HELP baton_request_seconds How long.
# TYPE baton_request_seconds histogram
baton_request_seconds_bucket{listener="web",le="0.5"} 1
baton_request_seconds_bucket{listener="web",le="+Inf"} 1
baton_request_seconds_sum{listener="web"} 0.25
baton_request_seconds_count{listener="web"} 1
# HELP baton_requests_total Requests answered.
# TYPE baton_requests_total counter
baton_requests_total{code="200"} 3
# HELP baton_upstream_active Now.
# TYPE baton_upstream_active gauge
baton_upstream_active{server="a"} 7
baton_upstream_active{server="b"} 2
`
	body := scrape(t, s.Handler())
	if !strings.HasPrefix(body, want) {
		t.Errorf("the answer is\n%s\nwant it to begin with\n%s", body, want)
	}
	for _, name := range []string{"go_goroutines ", "process_start_time_seconds "} {
		if !strings.Contains(body, "\n"+name) {
			t.Errorf("%s is missing", name)
		}
	}
	active = 8
	if got := exposed(t, s)[`baton_upstream_active{server="a"}`]; got != 8 {
		t.Errorf("the gauge is %v at the second scrape, want 8", got)
	}
}

func TestAGaugeThatIsReadWrongLeavesTheOthers(t *testing.T) {
	s := New()
	s.Gauge("bad", "", []string{"a"}, func() []Sample { return []Sample{{nil, 1}} })
	s.Gauge("good", "", nil, func() []Sample { return []Sample{{nil, 1}} })
	if body := scrape(t, s.Handler()); !strings.Contains(body, "\ngood 1\n") {
		t.Errorf("the answer lacks the good gauge:\n%s", body)
	}
}

func TestAGaugeMayCountAndBeReplaced(t *testing.T) {
	s := New()
	c := s.Counter("c_total", "").With()
	s.Gauge("g", "", nil, func() []Sample { return []Sample{{nil, 1}} })
	s.Gauge("g", "", nil, func() []Sample {
		s.Counter("reads_total", "").With().Inc() // takes the Set's lock
		c.Inc()
		return []Sample{{nil, 2}}
	})
	if got := exposed(t, s)["g"]; got != 2 {
		t.Errorf("g is %v, want what it was registered with last", got)
	}
}

func scrape(t tester, h http.Handler) string {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// exposed returns every series that a scrape shows, but the Go runtime's and the process's.
func exposed(t tester, s *Set) map[string]float64 {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(collector{s})
	all := make(map[string]float64)
	for line := range strings.Lines(scrape(t, promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		line = strings.TrimSpace(line)
		at := strings.LastIndexByte(line, ' ')
		x, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		all[line[:at]] = x
	}
	return all
}

// tester is a *testing.T or a *rapid.T.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}
