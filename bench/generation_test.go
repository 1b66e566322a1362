package bench

import (
	"testing"
	"time"
)

func TestGenerations(t *testing.T) {
	base := time.Now()
	at := func(s int) time.Time { return base.Add(time.Duration(s) * time.Second) }
	type seen struct {
		generation string
		dialled    int // seconds; the signal is at 10
	}
	for _, c := range []struct {
		name    string
		before  []seen
		after   []seen
		arrived string
		now     string
	}{
		{"a new one", []seen{{"1", 1}}, []seen{{"1", 11}, {"2", 12}}, "2", "2"},
		{"nobody new", []seen{{"1", 1}}, []seen{{"1", 11}}, "", "1"},
		{"an old one that drains", []seen{{"1", 1}, {"2", 5}}, []seen{{"1", 1}, {"2", 11}}, "", "2"},
		{"a name that comes back", []seen{{"A", 1}, {"B", 5}}, []seen{{"A", 1}, {"A", 11}}, "A", "A"},
		{"a new name on an old connection", []seen{{"1", 1}}, []seen{{"2", 1}}, "2", "2"},
		{"an old connection's answer comes late", []seen{{"1", 1}}, []seen{{"2", 11}, {"1", 9}}, "2", "2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGenerations()
			for _, s := range c.before {
				g.saw(s.generation, at(s.dialled), at(s.dialled))
			}
			_, arrived := g.expect(at(10))
			for _, s := range c.after {
				g.saw(s.generation, at(s.dialled), at(15))
			}
			got := ""
			select {
			case a := <-arrived:
				got = a.generation
			default:
			}
			if got != c.arrived || g.now() != c.now {
				t.Errorf("%q arrived and %q answers now, want %q and %q", got, g.now(), c.arrived, c.now)
			}
		})
	}
}

// What arrived for an upgrade that was given up is not taken for the next one's.
func TestExpectForgets(t *testing.T) {
	g := newGenerations()
	now := time.Now()
	g.saw("1", now, now)
	g.expect(now)
	g.saw("2", now.Add(1), now.Add(1))
	_, arrived := g.expect(now.Add(2))
	select {
	case a := <-arrived:
		t.Errorf("%v arrived", a)
	default:
	}
}
