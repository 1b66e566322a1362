package metrics

import (
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// maxChildren bounds a family; the child for the rest comes on top.
const maxChildren = 10_000

// other is the value of every label of the child that counts what came after maxChildren.
const other = "other"

// maxValue is where a label's value is cut, in bytes.
const maxValue = 128

// A kind is part of the blob: its values stay.
type kind byte

const (
	kindCounter   kind = 1
	kindHistogram kind = 2
	kindGauge     kind = 3 // never told
)

// signature is what a family is known by, in every generation.
type signature struct {
	kind    kind
	name    string
	labels  []string
	buckets []float64
}

// width is how many numbers a child counts: one for each bucket, and one above them.
func (s signature) width() int { return len(s.buckets) + 1 }

// family is a counter or a histogram with all its children.
type family struct {
	signature
	desc *prometheus.Desc // nil while nobody in this process has registered it

	mu       sync.RWMutex
	children map[string]*child
}

func newFamily(sig signature) *family {
	return &family{signature: sig, children: map[string]*child{}}
}

func (f *family) expose(help string) {
	if f.desc == nil {
		f.desc = prometheus.NewDesc(f.name, help, f.labels, nil)
	}
}

// child returns the one with these values, and admits it if there is room.
func (f *family) child(values []string) *child {
	values = clean(values)
	var buf [256]byte
	key := appendKey(buf[:0], values)
	f.mu.RLock()
	c := f.children[string(key)]
	f.mu.RUnlock()
	if c != nil {
		return c
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.children[string(key)]; c != nil {
		return c
	}
	// A child that was admitted stays, so that no series ever moves to "other" and falls back.
	if len(f.children) >= maxChildren {
		values = slices.Repeat([]string{other}, len(values))
		key = appendKey(nil, values)
		if c := f.children[string(key)]; c != nil {
			return c
		}
	}
	c = newChild(slices.Clone(values), f.width())
	f.children[string(key)] = c
	return c
}

// sorted returns the children in the order of their labels. What is listed does not change when children come.
func (f *family) sorted() []*child {
	f.mu.RLock()
	defer f.mu.RUnlock()
	list := make([]*child, 0, len(f.children))
	for _, c := range f.children {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b *child) int { return slices.Compare(a.labels, b.labels) })
	return list
}

// clean returns values that Prometheus accepts: valid UTF-8, and not too long. It copies only what it must change.
func clean(values []string) []string {
	for i, v := range values {
		if len(v) <= maxValue && strings.ToValidUTF8(v, "") == v {
			continue
		}
		values = slices.Clone(values)
		for j, v := range values[i:] {
			values[i+j] = strings.ToValidUTF8(v[:min(len(v), maxValue)], "\ufffd")
		}
		return values
	}
	return values
}

// appendKey joins values by a byte that no valid UTF-8 has.
func appendKey(b []byte, values []string) []byte {
	for _, v := range values {
		b = append(append(b, v...), 0xff)
	}
	return b
}
