package bench

import (
	"maps"
	"slices"
	"testing"
)

// follows lets a census see the given processes one after the other, without looking at any real one.
func follows(pid *int) *census {
	return &census{
		pid:     func() (int, error) { return *pid, nil },
		members: map[int]process{}, masters: map[int]uint64{},
	}
}

func (c *census) pids() []int { return slices.Sorted(maps.Keys(c.members)) }

func TestCensusFollowsTheTree(t *testing.T) {
	master := 10
	c := follows(&master)
	for _, step := range []struct {
		name    string
		master  int
		all     map[int]process
		members []int
		masters int
		cpu     float64
	}{
		{"the tree of the pidfile's process, and nobody else", 10, map[int]process{
			1: {parent: 0, started: 1, cpu: 100}, 10: {parent: 1, started: 5, cpu: 1}, 11: {parent: 10, started: 6, cpu: 2},
			12: {parent: 11, started: 7, cpu: 3}, 20: {parent: 1, started: 8, cpu: 50},
		}, []int{10, 11, 12}, 1, 6},
		{"an orphan stays", 10, map[int]process{
			1: {}, 10: {parent: 1, started: 5, cpu: 1}, 12: {parent: 1, started: 7, cpu: 4}, 20: {parent: 1, started: 8},
		}, []int{10, 12}, 1, 1 + 2 + 4},
		{"a new generation, whose parent lives on", 30, map[int]process{
			10: {parent: 1, started: 5, cpu: 2}, 12: {parent: 1, started: 7, cpu: 4}, 30: {parent: 10, started: 9, cpu: 1},
			31: {parent: 30, started: 10, cpu: 1},
		}, []int{10, 12, 30, 31}, 2, 2 + 2 + 4 + 1 + 1},
		{"the old one is gone, and another process has its pid", 30, map[int]process{
			10: {parent: 1, started: 99, cpu: 1000}, 30: {parent: 1, started: 9, cpu: 3}, 31: {parent: 30, started: 10, cpu: 1},
		}, []int{30, 31}, 1, 2 + 2 + 4 + 3 + 1},
		{"all gone", 30, map[int]process{10: {parent: 1, started: 99}}, nil, 0, 2 + 2 + 4 + 3 + 1},
	} {
		master = step.master
		c.update(step.all)
		if !slices.Equal(c.pids(), step.members) || len(c.masters) != step.masters || c.cpu() != step.cpu {
			t.Errorf("%s: members %v, masters %v, %g s CPU; want %v, %d, %g", step.name, c.pids(), c.masters, c.cpu(),
				step.members, step.masters, step.cpu)
		}
	}
}

func TestMemoryPeak(t *testing.T) {
	for want, u := range map[float64]ProcessUsage{
		0:   {},
		2.5: {RSSBefore: 100, RSSPeak: 250},
		1.5: {RSSBefore: 100, RSSPeak: 250, PSSBefore: 80, PSSPeak: 120},
	} {
		if got := u.MemoryPeak(); got != want {
			t.Errorf("%+v: %g, want %g", u, got, want)
		}
	}
	e := Event{Kind: KindUpgrade, Binary: "/b/v2", OldGone: 12.5, Usage: &ProcessUsage{ProcessesPeak: 2, RSSBefore: 10, RSSPeak: 21, CPU: 0.5}}
	if got, want := e.String(), "to /b/v2, old process gone after 12.5 ms, up to 2 processes, memory peak 2.1x, 0.50 s CPU"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
