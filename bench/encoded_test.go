package bench

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestEncodeIsHdrHistograms(t *testing.T) {
	for name, empty := range map[string]func() histogram{"three digits": newHistogram, "two": newCoarse} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				h := empty()
				for _, d := range rapid.SliceOfN(rapid.Int64Range(0, int64(20*time.Minute)), 1, 30).Draw(t, "durations") {
					for range rapid.IntRange(1, 3).Draw(t, "times") {
						h.add(time.Duration(d))
					}
				}
				want, err := h.EncodeV2()
				if err != nil {
					t.Fatal(err)
				}
				got := encode(h)
				if string(got) != string(want) {
					t.Fatalf("%s, want %s", got, want)
				}
				back, err := got.Decode()
				if err != nil || !back.Equals(h.Histogram) {
					t.Fatalf("%v: decoded it is another", err)
				}
			})
		})
	}
	if encode(newHistogram()) != "" {
		t.Error("an empty histogram takes room")
	}
	if h, err := Histogram("").Decode(); err != nil || h.TotalCount() != 0 {
		t.Errorf("%v: %+v", err, h)
	}
	if _, err := Histogram("HISTFAAA").Decode(); err == nil {
		t.Error("half a histogram is one")
	}
}
