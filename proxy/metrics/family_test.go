package metrics

import (
	"fmt"
	"strings"
	"testing"
)

func TestAFamilyIsBounded(t *testing.T) {
	s := New()
	c := s.Counter("c_total", "", "a", "b")
	early := c.With("0", "x")
	for i := range maxChildren + 500 {
		c.With(fmt.Sprint(i), "x").Inc()
	}
	if c.With("0", "x") != early {
		t.Error("the first child is another one now")
	}
	got := exposed(t, s)
	if len(got) != maxChildren+1 {
		t.Errorf("there are %d children, want %d", len(got), maxChildren+1)
	}
	if n := got[`c_total{a="other",b="other"}`]; n != 500 {
		t.Errorf("%v were counted for other, want 500", n)
	}

	child := New()
	child.Counter("c_total", "", "a", "b").With("mine", "x").Inc()
	if err := child.Inherit(s.Export()); err != nil {
		t.Fatal(err)
	}
	got, sum := exposed(t, child), 0.0
	for _, n := range got {
		sum += n
	}
	if sum != maxChildren+501 || len(got) != maxChildren+1 || got[`c_total{a="mine",b="x"}`] != 1 {
		t.Errorf("the next generation has %d children that counted %v", len(got), sum)
	}
}

func TestLabelValuesAreMadeValid(t *testing.T) {
	s := New()
	c := s.Counter("c_total", "", "a", "b")
	long := strings.Repeat("x", maxValue-1)
	c.With("ok", long+"\u00e4").Inc() // is cut in the middle of a rune
	c.With("\xff", "").Add(2)
	wantExposed(t, s, map[string]float64{
		"c_total{a=\"ok\",b=\"" + long + "\ufffd\"}": 1,
		"c_total{a=\"\ufffd\",b=\"\"}":               2,
	})
}

func TestACallersLabelsAreItsOwn(t *testing.T) {
	s := New()
	c := s.Counter("c_total", "", "a", "b")
	values := []string{"a", strings.Repeat("x", 2*maxValue)}
	c.With(values...)
	if len(values[1]) != 2*maxValue {
		t.Error("With cut its caller's string")
	}
	values = []string{"before", ""}
	c.With(values...)
	values[0] = "after"
	if _, ok := exposed(t, s)[`c_total{a="before",b=""}`]; !ok {
		t.Errorf("a change of the caller's slice reached the labels: %v", exposed(t, s))
	}
}

func TestALookUpAllocatesNothing(t *testing.T) {
	c := New().Counter("c_total", "", "a", "b")
	c.With("x", "y")
	if n := testing.AllocsPerRun(100, func() { c.With("x", "y").Inc() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
