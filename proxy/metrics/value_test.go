package metrics

import (
	"fmt"
	"maps"
	"math"
	"strings"
	"sync"
	"testing"
)

func TestCountersFromManyGoroutines(t *testing.T) {
	s := New()
	c := s.Counter("c_total", "", "who")
	h := s.Histogram("h", "", []float64{1, 2}, "who")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 1000 {
				c.With("a").Inc()
				c.With("b").Add(2)
				h.With("a").Observe(float64(i%3) + 0.5)
			}
		})
	}
	wg.Wait()
	wantExposed(t, s, map[string]float64{
		`c_total{who="a"}`: 8000, `c_total{who="b"}`: 16000,
		`h_bucket{who="a",le="1"}`: 8 * 334, `h_bucket{who="a",le="2"}`: 8 * 667, `h_bucket{who="a",le="+Inf"}`: 8000,
		`h_count{who="a"}`: 8000, `h_sum{who="a"}`: 8 * (334*0.5 + 333*1.5 + 333*2.5),
	})
}

func TestBucketsReachUpToTheirBound(t *testing.T) {
	s := New()
	d := s.Histogram("h", "", []float64{-1, 1}).With()
	for _, x := range []float64{-1, math.Nextafter(-1, 0), 1, math.Nextafter(1, 2)} {
		d.Observe(x)
	}
	got := exposed(t, s)
	for series, want := range map[string]float64{`h_bucket{le="-1"}`: 1, `h_bucket{le="1"}`: 3, `h_bucket{le="+Inf"}`: 4} {
		if got[series] != want {
			t.Errorf("%s is %v, want %v", series, got[series], want)
		}
	}
}

func TestWhatIsNotANumberIsNotCounted(t *testing.T) {
	s := New()
	d := s.Histogram("h", "", []float64{1}).With()
	for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0.5} {
		d.Observe(x)
	}
	wantExposed(t, s, map[string]float64{`h_bucket{le="1"}`: 1, `h_bucket{le="+Inf"}`: 1, "h_count": 1, "h_sum": 0.5})
}

func TestASumThatRunsOverCanStillBeInherited(t *testing.T) {
	s := New()
	d := s.Histogram("h", "", nil).With()
	d.Observe(math.MaxFloat64)
	d.Observe(math.MaxFloat64)
	if err := New().Inherit(s.Export()); err != nil {
		t.Error(err)
	}
}

func TestMistakesOfTheProgramPanic(t *testing.T) {
	s := New()
	s.Counter("c_total", "", "a")
	s.Gauge("g", "", nil, nil)
	for says, mistake := range map[string]func(){
		`"1c" is not`:             func() { s.Counter("1c", "") },
		"registered already, w":   func() { s.Counter("c_total", "", "b") },
		"c_total is registered":   func() { s.Histogram("c_total", "", nil, "a") },
		"g is registered":         func() { s.Counter("g", "") },
		`label "le"`:              func() { s.Histogram("h", "", nil, "le") },
		`label "__a"`:             func() { s.Counter("d", "", "__a") },
		`label "x"`:               func() { s.Counter("d", "", "x", "x") },
		"more than 32 labels":     func() { s.Counter("d", "", distinct(33)...) },
		"not finite and asc":      func() { s.Histogram("h", "", []float64{1, 1}) },
		"not finite and ascendin": func() { s.Histogram("h", "", []float64{math.Inf(1)}) },
		`the values ["x" "y"]`:    func() { s.Counter("c_total", "", "a").With("x", "y") },
		`the values []`:           func() { s.Histogram("i", "", nil, "a").With() },
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, says) {
					t.Errorf("panic: %s; want one that says %q", got, says)
				}
			}()
			mistake()
		}()
	}
}

func distinct(n int) (labels []string) {
	for i := range n {
		labels = append(labels, fmt.Sprintf("l%d", i))
	}
	return labels
}

func wantExposed(t *testing.T, s *Set, want map[string]float64) {
	t.Helper()
	if got := exposed(t, s); !maps.Equal(got, want) {
		t.Errorf("exposed is\n%v, want\n%v", got, want)
	}
}

func BenchmarkInc(b *testing.B) {
	v := New().Counter("c_total", "", "listener").With("web")
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			v.Inc()
		}
	})
}

func BenchmarkWithInc(b *testing.B) {
	b.ReportAllocs()
	c := New().Counter("c_total", "", "listener", "upstream", "method", "code")
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c.With("web", "app", "GET", "200").Inc()
		}
	})
}

func BenchmarkObserve(b *testing.B) {
	d := New().Histogram("h", "", SecondsBuckets, "listener").With("web")
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			d.Observe(0.02)
		}
	})
}
