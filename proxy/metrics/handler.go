package metrics

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Handler answers scrapes, with the metrics of the Go runtime and of the process beside the Set's own. A gauge that
// cannot be read right is left out, and the others are answered.
func (s *Set) Handler() http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(
		collector{s},
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

// collector describes nothing beforehand, since families may come at any time.
type collector struct{ *Set }

func (c collector) Describe(chan<- *prometheus.Desc) {}

func (c collector) Collect(out chan<- prometheus.Metric) {
	metrics, gauges := c.read()
	for _, m := range metrics {
		out <- m
	}
	for _, g := range gauges {
		for _, m := range g.collect() {
			out <- m
		}
	}
}

// read returns what was counted. Gauges are read without the lock: they are the program's, and may count something.
func (s *Set) read() (metrics []prometheus.Metric, gauges []*gauge) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.sortedFamilies() {
		if f.desc == nil {
			continue
		}
		for _, c := range f.sorted() {
			metrics = append(metrics, f.metric(c))
		}
	}
	for _, g := range s.gauges {
		gauges = append(gauges, g)
	}
	return metrics, gauges
}

func (f *family) metric(c *child) prometheus.Metric {
	total := c.total()
	if f.kind == kindCounter {
		return prometheus.MustNewConstMetric(f.desc, prometheus.CounterValue, float64(total.counts[0]), c.labels...)
	}
	var count uint64
	upTo := make(map[float64]uint64, len(f.buckets))
	for i, n := range total.counts {
		count += n
		if i < len(f.buckets) {
			upTo[f.buckets[i]] = count
		}
	}
	return prometheus.MustNewConstHistogram(f.desc, count, total.sum, upTo, c.labels...)
}

// gauge is what the program reads at a scrape.
type gauge struct {
	signature
	desc    *prometheus.Desc
	samples func() []Sample
}

func newGauge(sig signature, help string, read func() []Sample) *gauge {
	return &gauge{signature: sig, desc: prometheus.NewDesc(sig.name, help, sig.labels, nil), samples: read}
}

func (g *gauge) collect() []prometheus.Metric {
	var list []prometheus.Metric
	at := make(map[string]int) // two samples with the same labels would fail the whole family
	for _, sample := range g.samples() {
		if len(sample.Labels) != len(g.labels) {
			err := fmt.Errorf("%s has labels %q, and was read with the values %q", g.name, g.labels, sample.Labels)
			list = append(list, prometheus.NewInvalidMetric(g.desc, err))
			continue
		}
		values := clean(sample.Labels)
		m := prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, sample.Value, slices.Clone(values)...)
		key := string(appendKey(nil, values))
		if i, ok := at[key]; ok {
			list[i] = m
		} else if len(list) < maxChildren {
			at[key] = len(list)
			list = append(list, m)
		}
	}
	return list
}
