package metrics

import (
	"fmt"
	"math"
	"slices"
	"sync/atomic"
)

// Counter is a family of numbers that only grow.
type Counter struct{ f *family }

// With returns the number with these values of the labels, in their order; keep it where it is used often. It panics if
// there are not as many values as labels.
func (c *Counter) With(values ...string) *Value {
	c.f.check(values)
	return (*Value)(c.f.child(values))
}

// Value is one number of a Counter.
type Value child

// Inc adds one.
func (v *Value) Inc() { v.own[0].Add(1) }

// Add adds n.
func (v *Value) Add(n uint64) { v.own[0].Add(n) }

// Histogram is a family of distributions.
type Histogram struct{ f *family }

// With returns the distribution with these values of the labels, as Counter's With does.
func (h *Histogram) With(values ...string) *Distribution {
	h.f.check(values)
	return &Distribution{h.f.child(values), h.f.buckets}
}

// Distribution is one of a Histogram's.
type Distribution struct {
	*child
	buckets []float64
}

// Observe counts x in the first bucket that reaches up to it. What is not a number, or infinite, is not counted.
func (d *Distribution) Observe(x float64) {
	if !finite(x) {
		return
	}
	i := 0
	for i < len(d.buckets) && x > d.buckets[i] {
		i++
	}
	d.own[i].Add(1)
	for {
		old := d.ownSum.Load()
		if d.ownSum.CompareAndSwap(old, math.Float64bits(add(math.Float64frombits(old), x))) {
			return
		}
	}
}

func (f *family) check(values []string) {
	if len(values) != len(f.labels) {
		given := slices.Clone(values) // or every caller's would be on the heap
		panic(fmt.Sprintf("metrics: %s has labels %q, and was given the values %q", f.name, f.labels, given))
	}
}

// child is one series. What does not stand under "own" belongs to the Set's mutex.
type child struct {
	labels []string

	own    []atomic.Uint64
	ownSum atomic.Uint64 // the bits of a float64

	inherited, late amounts
	told            amounts // of the total, to the next generation
}

func newChild(labels []string, n int) *child {
	return &child{
		labels: labels, own: make([]atomic.Uint64, n),
		inherited: newAmounts(n), late: newAmounts(n), told: newAmounts(n),
	}
}

func (c *child) total() amounts {
	t := newAmounts(len(c.own))
	for i := range c.own {
		t.counts[i] = c.own[i].Load()
	}
	t.sum = math.Float64frombits(c.ownSum.Load())
	t.add(c.inherited)
	t.add(c.late)
	return t
}

// rest returns what total has beyond what was told. If a parent took something back, nothing is told until it is made
// up for.
func (c *child) rest(total amounts) amounts {
	r := newAmounts(len(c.own))
	for i, n := range total.counts {
		if n < c.told.counts[i] {
			return newAmounts(len(c.own))
		}
		r.counts[i] = n - c.told.counts[i]
	}
	r.sum = add(total.sum, -c.told.sum)
	return r
}

// amounts is what was counted: in each bucket, and the sum of what was observed. A counter has one bucket and no sum.
type amounts struct {
	counts []uint64
	sum    float64
}

func newAmounts(n int) amounts { return amounts{counts: make([]uint64, n)} }

func (a *amounts) add(b amounts) {
	for i, n := range b.counts {
		a.counts[i] += n
	}
	a.sum = add(a.sum, b.sum)
}

func (a amounts) zero() bool {
	for _, n := range a.counts {
		if n != 0 {
			return false
		}
	}
	return a.sum == 0
}

// add stays finite: an infinite sum could never be told apart from a broken one again.
func add(x, y float64) float64 {
	return max(-math.MaxFloat64, min(math.MaxFloat64, x+y))
}
