package metrics

import (
	"encoding/binary"
	"math"
)

// A blob is magic, version and purpose, and then records: a family's signature, which holds for the series after it, or
// a series' labels and amounts; the last one says that it is the last. Numbers are uvarints, floats 8 bytes, little
// endian, strings and lists preceded by their length.
const (
	magic   = "btnm"
	version = 1
)

const (
	recordEnd byte = iota
	recordFamily
	recordSeries
)

// purpose keeps a remainder from being taken for the whole, and the other way round: either would count wrong.
type purpose byte

const (
	purposeWhole purpose = 'W'
	purposeRest  purpose = 'R'
)

// What a blob may hold; a release must not lower any of them.
const (
	maxName    = 256
	maxLabels  = 32
	maxBuckets = 256
	maxLength  = 4 << 10 // of a label's value
)

// key is the signature as it stands in a blob.
func (s signature) key() string { return string(appendSignature(nil, s)) }

func appendSignature(b []byte, s signature) []byte {
	b = append(b, byte(s.kind))
	b = appendStrings(appendString(b, s.name), s.labels)
	b = binary.AppendUvarint(b, uint64(len(s.buckets)))
	for _, bucket := range s.buckets {
		b = appendFloat(b, bucket)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendStrings(b []byte, list []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = appendString(b, s)
	}
	return b
}

func appendFloat(b []byte, x float64) []byte {
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
}

// writer makes a blob.
type writer struct {
	b      []byte
	family string // the key of the signature that was written last
}

// header is the size of what stands before the first record.
const header = len(magic) + 2

func newWriter(why purpose) *writer {
	return &writer{b: append([]byte(magic), version, byte(why))}
}

func (w *writer) series(sig signature, labels []string, a amounts) {
	if key := sig.key(); key != w.family {
		w.b = append(append(w.b, recordFamily), key...)
		w.family = key
	}
	w.b = appendStrings(append(w.b, recordSeries), labels)
	for _, n := range a.counts {
		w.b = binary.AppendUvarint(w.b, n)
	}
	if sig.kind == kindHistogram {
		w.b = appendFloat(w.b, a.sum)
	}
}

func (w *writer) empty() bool  { return len(w.b) == header }
func (w *writer) size() int    { return len(w.b) + 1 }
func (w *writer) blob() []byte { return append(w.b, recordEnd) }
