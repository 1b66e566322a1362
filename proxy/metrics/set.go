package metrics

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"sync"
)

// Set is the metrics of one process. Its methods may be called from many goroutines.
type Set struct {
	mu       sync.Mutex // held by everything but counting
	families map[string]*family
	gauges   map[string]*gauge
	taken    map[string]string // the signature of the family or gauge that has a name
}

// New returns an empty Set.
func New() *Set {
	return &Set{families: map[string]*family{}, gauges: map[string]*gauge{}, taken: map[string]string{}}
}

// Counter returns the counter called name, and makes it if need be. It panics if the name or a label is not a valid
// one, or the name belongs to something else: that is a mistake in the program, and shows at its start.
func (s *Set) Counter(name, help string, labels ...string) *Counter {
	return &Counter{s.register(signature{kind: kindCounter, name: name, labels: labels}, help)}
}

// Histogram returns the histogram called name, and makes it if need be. Buckets are upper bounds, ascending; the one
// that has no bound comes by itself. It panics as Counter does.
func (s *Set) Histogram(name, help string, buckets []float64, labels ...string) *Histogram {
	if !ascending(buckets) {
		panic(fmt.Sprintf("metrics: the buckets of %s are not finite and ascending: %v", name, buckets))
	}
	return &Histogram{s.register(signature{kind: kindHistogram, name: name, labels: labels, buckets: buckets}, help)}
}

// Sample is one reading of a gauge: the values of its labels, in their order, and what was read.
type Sample struct {
	Labels []string
	Value  float64
}

// Gauge has read called at every scrape. Of samples with the same labels the last one counts. To register a gauge again
// replaces read. Gauge panics as Counter does.
func (s *Set) Gauge(name, help string, labels []string, read func() []Sample) {
	sig := signature{kind: kindGauge, name: name, labels: slices.Clone(labels)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claim(sig)
	s.gauges[name] = newGauge(sig, help, read)
}

func (s *Set) register(sig signature, help string) *family {
	sig.labels, sig.buckets = slices.Clone(sig.labels), slices.Clone(sig.buckets)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claim(sig)
	f := s.family(sig)
	f.expose(help)
	return f
}

// family returns the one with this signature, exposed or not. s.mu is held.
func (s *Set) family(sig signature) *family {
	key := sig.key()
	f := s.families[key]
	if f == nil {
		f = newFamily(sig)
		s.families[key] = f
	}
	return f
}

// sortedFamilies returns all of them in one order. s.mu is held.
func (s *Set) sortedFamilies() []*family {
	keys := slices.Sorted(maps.Keys(s.families))
	list := make([]*family, len(keys))
	for i, key := range keys {
		list[i] = s.families[key]
	}
	return list
}

var (
	validName  = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)
	validLabel = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
)

// claim takes a name for a signature, or panics. s.mu is held.
func (s *Set) claim(sig signature) {
	if len(sig.name) > maxName || !validName.MatchString(sig.name) {
		panic(fmt.Sprintf("metrics: %q is not a metric's name", sig.name))
	}
	for i, label := range sig.labels {
		reserved := label == "le" || len(label) > 1 && label[:2] == "__"
		if len(label) > maxName || reserved || !validLabel.MatchString(label) || slices.Contains(sig.labels[:i], label) {
			panic(fmt.Sprintf("metrics: %s: label %q is invalid, reserved or there twice", sig.name, label))
		}
	}
	if len(sig.labels) > maxLabels || len(sig.buckets) > maxBuckets {
		panic(fmt.Sprintf("metrics: %s has more than %d labels or %d buckets", sig.name, maxLabels, maxBuckets))
	}
	key := sig.key()
	if owner, ok := s.taken[sig.name]; ok && owner != key {
		panic(fmt.Sprintf("metrics: %s is registered already, with another kind, labels or buckets", sig.name))
	}
	s.taken[sig.name] = key
}

func ascending(buckets []float64) bool {
	for i, b := range buckets {
		if !finite(b) || i > 0 && b <= buckets[i-1] {
			return false
		}
	}
	return true
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
