package metrics

import (
	"bytes"
	"encoding/hex"
	"math"
	"slices"
	"strings"
	"testing"
)

// sample counts a little of everything.
func sample() *Set {
	s := New()
	s.Counter("c_total", "", "a", "b").With("x", "\u00e4").Add(300)
	s.Counter("c_total", "", "a", "b").With("", "z")
	h := s.Histogram("h", "", []float64{0.5, 1}, "a")
	h.With("x").Observe(0.25)
	h.With("x").Observe(8)
	return s
}

// Generations of different releases read each other's blobs: these bytes must be readable for ever.
func TestVersion1CanBeRead(t *testing.T) {
	const written = "62746e6d0157" + // magic, version, purpose
		"0101" + "07635f746f74616c" + "0201610162" + "00" + // counter c_total, labels a and b
		"0202" + "0001" + "7a" + "00" + // "", "z": 0
		"0202" + "0178" + "02c3a4" + "ac02" + // "x", "\u00e4": 300
		"0102" + "0168" + "010161" + "02" + "000000000000e03f" + "000000000000f03f" + // histogram h, a, 0.5 and 1
		"0201" + "0178" + "010001" + "0000000000802040" + // "x": 1, 0, 1, the sum 8.25
		"00"
	blob, err := hex.DecodeString(written)
	if err != nil {
		t.Fatal(err)
	}
	if now := sample().Export(); !bytes.Equal(now, blob) {
		t.Errorf("the same is written as\n%x, and was as\n%x: is this a new version?", now, blob)
	}
	s := New()
	s.Counter("c_total", "", "a", "b")
	s.Histogram("h", "", []float64{0.5, 1}, "a")
	if err := s.Inherit(blob); err != nil {
		t.Fatal(err)
	}
	wantExposed(t, s, exposed(t, sample()))
}

func TestGarbageIsRefusedWhole(t *testing.T) {
	whole, rest := sample().Export(), sample().Remainder()
	histogram := func(buckets ...float64) signature {
		return signature{kind: kindHistogram, name: "h", buckets: buckets}
	}
	family := func(sig signature) []byte { return append([]byte("btnm\x01W\x01"), sig.key()...) }
	counter := signature{kind: kindCounter, name: "c_total", labels: []string{"a"}}
	gauge := signature{kind: kindGauge, name: "g"}
	bounded := signature{kind: kindCounter, name: "c", buckets: []float64{1}}
	for name, c := range map[string]struct {
		blob []byte
		says string
	}{
		"nothing":              {nil, "no blob of metrics"},
		"something else":       {[]byte(`{"a":1}`), "no blob of metrics"},
		"a later version":      {bytes.Replace(whole, []byte{1, 'W'}, []byte{9, 'W'}, 1), "version 9, and this release"},
		"a remainder":          {rest, `for 'R', and was given as one for 'W'`},
		"more at the end":      {append(bytes.Clone(whole), 0), "1 bytes follow the end"},
		"record 7":             {[]byte("btnm\x01W\x07"), "record of kind 7"},
		"no family":            {[]byte("btnm\x01W\x02\x00\x00\x00"), "record of kind 2"},
		"a gauge":              {append(family(gauge), 0), `"g" is of kind 3`},
		"a family twice":       {slices.Concat(family(counter), family(counter)[header:]), "c_total is there twice"},
		"fewer labels":         {append(family(counter), 2, 0, 0, 0), "has 0 labels"},
		"many labels":          {append(family(counter), 2, 0xff, 0xff, 3), "65535 where at most 32"},
		"not UTF-8":            {append(family(counter), 2, 1, 1, 0xff, 0, 0), "not UTF-8"},
		"a long number":        {append(family(counter), "\x02\x01\x00"+strings.Repeat("\xff", 11)...), "too long"},
		"an infinite sum":      {bytes.Replace(whole, []byte{0x80, 0x20, 0x40}, []byte{0, 0xf0, 0x7f}, 1), "+Inf is not"},
		"descending bounds":    {append(family(histogram(2, 1)), 0), "buckets [2 1]"},
		"bounds of counter":    {append(family(bounded), 0), "buckets [1]"},
		"a bound is no number": {append(family(histogram(math.NaN())), 0), "NaN is not a finite"},
	} {
		t.Run(name, func(t *testing.T) { wantRefused(t, c.blob, c.says) })
	}
	t.Run("cut short", func(t *testing.T) {
		for i := range whole {
			wantRefused(t, whole[:i], "")
		}
	})
	if err := New().Late(whole); err == nil || !strings.Contains(err.Error(), `for 'W'`) {
		t.Errorf("Late took the whole for a remainder: %v", err)
	}
}

func wantRefused(t *testing.T, blob []byte, says string) {
	t.Helper()
	s := sample()
	if err := s.Inherit(sample().Export()); err != nil {
		t.Fatal(err)
	}
	before := s.Export()
	err := s.Inherit(blob)
	if err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("%x: the error is %v, want one that says %q", blob, err, says)
	}
	if !bytes.Equal(s.Export(), before) {
		t.Errorf("%x: was refused, and changed something", blob)
	}
}

func FuzzBlob(f *testing.F) {
	f.Add(sample().Export())
	f.Add(sample().Remainder())
	f.Add(New().Export())
	f.Fuzz(func(t *testing.T, blob []byte) {
		s := sample()
		before := s.Export()
		switch errWhole, errRest := s.Inherit(blob), s.Late(blob); {
		case errWhole == nil && errRest == nil:
			t.Fatal("the blob is taken for the whole and for a remainder")
		case errWhole != nil && errRest != nil:
			if !bytes.Equal(s.Export(), before) {
				t.Fatal("a refused blob has changed something")
			}
			return
		}
		scrape(t, s.Handler())
		told := s.Export()
		child := New()
		if err := child.Inherit(told); err != nil {
			t.Fatalf("the next generation does not read what was made of an accepted blob: %v", err)
		}
		if !bytes.Equal(child.Export(), told) {
			t.Fatal("the next generation tells something else")
		}
		whole, parts := New(), New()
		_ = whole.Late(blob) // nil, unless the blob is no remainder, and then it has no parts
		for _, part := range Split(blob, 100) {
			if err := parts.Late(part); err != nil {
				t.Fatalf("a part of an accepted blob is refused: %v", err)
			}
		}
		if !bytes.Equal(whole.Remainder(), parts.Remainder()) {
			t.Fatal("the parts are not the whole")
		}
	})
}
