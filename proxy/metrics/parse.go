package metrics

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

// series is one that a blob tells of.
type series struct {
	signature
	labels []string
	amounts
}

// parse reads a whole blob, so that a broken one changes nothing.
func parse(blob []byte, why purpose) ([]series, error) {
	switch {
	case len(blob) < header || string(blob[:len(magic)]) != magic:
		return nil, errors.New("this is no blob of metrics")
	case blob[len(magic)] != version:
		return nil, fmt.Errorf("the blob has version %d, and this release reads version %d", blob[len(magic)], version)
	case purpose(blob[len(magic)+1]) != why:
		return nil, fmt.Errorf("the blob is for %q, and was given as one for %q", blob[len(magic)+1], byte(why))
	}
	r := reader{rest: blob[header:]}
	list := r.records()
	if r.err != nil {
		return nil, fmt.Errorf("the blob is broken at byte %d of %d: %w", len(blob)-len(r.rest), len(blob), r.err)
	}
	return list, nil
}

// reader reads records. After an error it reads nothing but zeros.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

func (r *reader) records() []series {
	var list []series
	var sig signature
	seen := map[string]bool{}
	for {
		switch tag := r.byte(); {
		case r.err != nil:
			return nil
		case tag == recordEnd:
			if len(r.rest) > 0 {
				r.fail("%d bytes follow the end", len(r.rest))
			}
			return list
		case tag == recordFamily:
			sig = r.signature()
			if key := sig.key(); r.err == nil && seen[key] {
				r.fail("%s is there twice", sig.name)
			} else {
				seen[key] = true
			}
		case tag == recordSeries && sig.kind != 0:
			list = append(list, r.series(sig))
		default:
			r.fail("record of kind %d", tag)
		}
	}
}

func (r *reader) signature() signature {
	s := signature{kind: kind(r.byte()), name: r.string(maxName), labels: r.strings(maxLabels, maxName)}
	s.buckets = make([]float64, r.number(maxBuckets))
	for i := range s.buckets {
		s.buckets[i] = r.float()
	}
	switch {
	case s.kind != kindCounter && s.kind != kindHistogram:
		r.fail("%q is of kind %d", s.name, s.kind)
	case s.kind == kindCounter && len(s.buckets) > 0 || !ascending(s.buckets):
		r.fail("%q has the buckets %v", s.name, s.buckets)
	}
	return s
}

func (r *reader) series(sig signature) series {
	x := series{signature: sig, labels: r.strings(maxLabels, maxLength), amounts: newAmounts(sig.width())}
	if len(x.labels) != len(sig.labels) {
		r.fail("a series of %q has %d labels", sig.name, len(x.labels))
	}
	for i := range x.counts {
		x.counts[i] = r.uvarint()
	}
	if sig.kind == kindHistogram {
		x.sum = r.float()
	}
	return x
}

func (r *reader) byte() byte {
	if len(r.rest) == 0 {
		r.fail("it ends early")
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *reader) uvarint() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.fail("it ends early, or a number is too long")
		r.rest = nil
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

// number reads one that is at most limit, so that nothing is allocated on a broken blob's word.
func (r *reader) number(limit int) int {
	n := r.uvarint()
	if n > uint64(limit) {
		r.fail("%d where at most %d can be", n, limit)
		return 0
	}
	return int(n)
}

func (r *reader) bytes(n int) []byte {
	if n > len(r.rest) {
		r.fail("it ends early")
		r.rest = nil
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) string(limit int) string {
	s := string(r.bytes(r.number(limit)))
	if !utf8.ValidString(s) {
		r.fail("%q is not UTF-8", s)
	}
	return s
}

func (r *reader) strings(count, limit int) []string {
	list := make([]string, r.number(count))
	for i := range list {
		list[i] = r.string(limit)
	}
	return list
}

func (r *reader) float() float64 {
	b := r.bytes(8)
	if b == nil {
		return 0
	}
	x := math.Float64frombits(binary.LittleEndian.Uint64(b))
	if !finite(x) {
		r.fail("%v is not a finite number", x)
	}
	return x
}
