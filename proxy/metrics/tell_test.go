package metrics

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// process is a generation in a test. Each version has some families of all.
type process struct {
	*Set
	version int
	own     map[string]float64 // what it counted
}

const versions = 3 // 0 has c_total and h, 1 has c_total, 2 has h with other buckets and d_total

func start(version int) *process {
	p := &process{Set: New(), version: version, own: map[string]float64{}}
	if version < 2 {
		p.Counter("c_total", "", "a")
	}
	if version == 0 {
		p.Histogram("h", "", []float64{1, 2}, "a")
	}
	if version == 2 {
		p.Histogram("h", "", []float64{4}, "a")
		p.Counter("d_total", "")
	}
	return p
}

// count counts one thing that this version has, in the process and in the test's own book.
func (p *process) count(t *rapid.T) {
	label := rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "label")
	n := rapid.IntRange(0, 5).Draw(t, "n")
	switch kind := rapid.SampledFrom([]string{"c", "h", "d"}).Draw(t, "kind"); {
	case kind == "c" && p.version < 2:
		p.Counter("c_total", "", "a").With(label).Add(uint64(n + 1)) // a remainder does not tell of zeros
		p.own[fmt.Sprintf("c_total{a=%q}", label)] += float64(n + 1)
	case kind == "h" && p.version != 1:
		buckets := []float64{1, 2}
		if p.version == 2 {
			buckets = []float64{4}
		}
		p.Histogram("h", "", buckets, "a").With(label).Observe(float64(n))
		for _, b := range append(slices.Clone(buckets), math.Inf(1)) {
			if float64(n) <= b {
				p.own[fmt.Sprintf("%d h_bucket{a=%q,le=\"%v\"}", len(buckets), label, b)]++
			} else {
				p.own[fmt.Sprintf("%d h_bucket{a=%q,le=\"%v\"}", len(buckets), label, b)] += 0
			}
		}
		p.own[fmt.Sprintf("%d h_count{a=%q}", len(buckets), label)]++
		p.own[fmt.Sprintf("%d h_sum{a=%q}", len(buckets), label)] += float64(n)
	case kind == "d" && p.version == 2:
		p.Counter("d_total", "").With().Add(uint64(n + 1))
		p.own["d_total"] += float64(n + 1)
	}
}

// knows says whether this version exposes a series of the book, and under which name.
func (p *process) knows(series string) (string, bool) {
	switch {
	case strings.HasPrefix(series, "c_total"):
		return series, p.version < 2
	case strings.HasPrefix(series, "d_total"):
		return series, p.version == 2
	case strings.HasPrefix(series, "2 "):
		return series[2:], p.version == 0
	default:
		return series[2:], p.version == 2
	}
}

// Whatever is counted, upgraded, rolled back and told late: what the last generation exposes is what all of them
// counted, but for those who died on probation, and nothing falls back on the way.
func TestNothingIsLostOrCountedTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		must := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		draining, charge := []*process{}, start(0)
		var child *process // on probation
		book := map[string]float64{}
		remember := func(p *process) {
			for series, n := range p.own {
				book[series] += n
			}
			clear(p.own)
		}
		pick := func() *process {
			alive := append(slices.Clone(draining), charge)
			if child != nil {
				alive = append(alive, child)
			}
			return rapid.SampledFrom(alive).Draw(t, "who")
		}
		finish := func() {
			for _, p := range draining {
				remember(p)
				for _, part := range Split(p.Remainder(), 100) {
					must(charge.Late(part))
				}
			}
			draining = nil
		}
		commit := func() {
			if child == nil {
				return
			}
			must(child.Inherit(charge.Export()))
			before, after := exposed(t, charge.Set), exposed(t, child.Set)
			for series, n := range before {
				if charge.version == child.version && after[series] < n {
					t.Fatalf("%s fell from %v to %v", series, n, after[series])
				}
			}
			draining, charge, child = append(draining, charge), child, nil
		}
		t.Repeat(map[string]func(*rapid.T){
			"count": func(t *rapid.T) { pick().count(t) },
			"upgrade": func(t *rapid.T) {
				if child != nil {
					t.Skip()
				}
				child = start(rapid.IntRange(0, versions-1).Draw(t, "version"))
				must(child.Inherit(charge.Export()))
			},
			"refresh": func(t *rapid.T) {
				if child != nil {
					must(child.Inherit(charge.Export()))
				}
			},
			"rollback": func(*rapid.T) { child = nil },
			"commit":   func(*rapid.T) { commit() },
			"remainder": func(t *rapid.T) {
				if len(draining) > 0 {
					p := rapid.SampledFrom(draining).Draw(t, "who")
					must(charge.Late(p.Remainder()))
				}
			},
			"gone": func(*rapid.T) { finish() },
		})
		// Through every version, so that each sees what those before it could not expose.
		for version := range versions {
			child = start(version)
			commit()
			finish()
			remember(charge)
			want := map[string]float64{}
			for series, n := range book {
				if name, ok := charge.knows(series); ok {
					want[name] = n
				}
			}
			if got := exposed(t, charge.Set); !maps.Equal(got, want) {
				t.Fatalf("version %d exposes\n%v, and was counted\n%v", version, got, want)
			}
		}
	})
}

func TestCountingWhileItIsTold(t *testing.T) {
	parent, child := New(), New()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			c, h := parent.Counter("c_total", ""), parent.Histogram("h", "", []float64{1})
			for range 2000 {
				c.With().Inc()
				h.With().Observe(0.5)
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	if err := child.Inherit(parent.Export()); err != nil {
		t.Fatal(err)
	}
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		if err := child.Late(parent.Remainder()); err != nil {
			t.Fatal(err)
		}
	}
	child.Counter("c_total", "")
	child.Histogram("h", "", []float64{1})
	wantExposed(t, child, map[string]float64{
		"c_total": 8000, "h_count": 8000, "h_sum": 4000, `h_bucket{le="1"}`: 8000, `h_bucket{le="+Inf"}`: 8000,
	})
}

func TestANewerBlobReplacesTheOlder(t *testing.T) {
	parent, child := New(), New()
	c := parent.Counter("c_total", "", "a")
	child.Counter("c_total", "", "a").With("x").Add(1)
	c.With("x").Add(10)
	for range 2 {
		if err := child.Inherit(parent.Export()); err != nil {
			t.Fatal(err)
		}
	}
	wantExposed(t, child, map[string]float64{`c_total{a="x"}`: 11})
	if err := child.Inherit(New().Export()); err != nil {
		t.Fatal(err)
	}
	wantExposed(t, child, map[string]float64{`c_total{a="x"}`: 1})
	for _, p := range Split(child.Remainder(), 1000) { // everything, since it has told nothing yet
		if err := New().Late(p); err != nil {
			t.Error(err)
		}
	}
	c.With("x").Inc()
	child.Export()
	if err := child.Inherit(New().Export()); err != nil { // takes nothing back that was told
		t.Fatal(err)
	}
	if parts := Split(child.Remainder(), 1000); len(parts) != 0 {
		t.Errorf("%d parts, though nothing was counted", len(parts))
	}
}

func TestARemainderOfLessThanNothingIsNothing(t *testing.T) {
	grandparent, parent := New(), New()
	grandparent.Counter("c_total", "").With().Add(10)
	if err := parent.Inherit(grandparent.Export()); err != nil {
		t.Fatal(err)
	}
	parent.Export()
	if err := parent.Inherit(New().Export()); err != nil {
		t.Fatal(err)
	}
	child := New()
	c := child.Counter("c_total", "")
	c.With()
	if err := child.Late(parent.Remainder()); err != nil {
		t.Fatal(err)
	}
	wantExposed(t, child, map[string]float64{"c_total": 0})
}

func TestWhatCameLateStaysWhenANewerBlobComes(t *testing.T) {
	grandparent, parent, child := New(), New(), New()
	grandparent.Counter("c_total", "").With().Add(100)
	parent.Counter("c_total", "").With().Add(10)
	child.Counter("c_total", "")
	for _, err := range []error{
		child.Inherit(parent.Export()), child.Late(grandparent.Remainder()), child.Inherit(parent.Export()),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	wantExposed(t, child, map[string]float64{"c_total": 110})
}

// An observation is in its bucket a moment before it is in the sum. What is told between the two is made up for.
func TestASumAloneIsTold(t *testing.T) {
	parent, child := New(), New()
	d := parent.Histogram("h", "", nil).With()
	d.own[0].Add(1)
	told := []error{child.Inherit(parent.Export())}
	d.ownSum.Store(math.Float64bits(0.5))
	told = append(told, child.Late(parent.Remainder()))
	if told[0] != nil || told[1] != nil {
		t.Fatal(told)
	}
	child.Histogram("h", "", nil)
	wantExposed(t, child, map[string]float64{`h_bucket{le="+Inf"}`: 1, "h_count": 1, "h_sum": 0.5})
}

func TestSplit(t *testing.T) {
	s, whole, parts := New(), New(), New()
	h := s.Histogram("h", "", SecondsBuckets, "a")
	for i := range 200 {
		h.With(fmt.Sprintf("listener %d", i)).Observe(float64(i))
		s.Counter("c_total", "", "a").With(strings.Repeat("y", i%100)).Inc()
	}
	for _, set := range []*Set{whole, parts} {
		set.Histogram("h", "", SecondsBuckets, "a")
		set.Counter("c_total", "", "a")
	}
	blob := s.Remainder()
	const limit = 600
	list := Split(blob, limit)
	if len(list) < len(blob)/limit {
		t.Fatalf("%d parts of a blob of %d bytes", len(list), len(blob))
	}
	for _, part := range list {
		if len(part) > limit {
			t.Errorf("a part has %d bytes", len(part))
		}
		if err := parts.Late(part); err != nil {
			t.Fatal(err)
		}
	}
	if err := whole.Late(blob); err != nil {
		t.Fatal(err)
	}
	wantExposed(t, parts, exposed(t, whole))
	if n := len(Split(blob, 1)); n != 300 { // 200 of h, 100 of c_total
		t.Errorf("%d parts where none fits, want one for each series", n)
	}
	if n := len(Split(s.Export(), limit)) + len(Split(nil, limit)) + len(Split(s.Remainder(), limit)); n != 0 {
		t.Errorf("%d parts of what is no remainder or tells nothing", n)
	}
}

func BenchmarkExport(b *testing.B) {
	s := New()
	c := s.Counter("c_total", "", "a", "b")
	for i := range maxChildren {
		c.With("listener", fmt.Sprint(i)).Add(uint64(i))
	}
	b.ReportAllocs()
	for b.Loop() {
		b.SetBytes(int64(len(s.Export())))
	}
}
