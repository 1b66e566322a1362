package bench

import (
	"cmp"
	"slices"
	"sync"
)

// losses keeps a lane's losses one by one, up to LossesPerClass of each class.
type losses struct {
	mu      sync.Mutex
	kept    []Loss
	of      map[Class]int
	omitted int64
}

func (l *losses) add(one Loss) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of == nil {
		l.of = map[Class]int{}
	}
	if l.of[one.Class] == LossesPerClass {
		l.omitted++
		return
	}
	l.of[one.Class]++
	l.kept = append(l.kept, one)
}

func (l *losses) report() ([]Loss, int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return earliest(l.kept), l.omitted
}

// earliest returns the losses by time, at most LossesPerClass of each class.
func earliest(all []Loss) []Loss {
	of := map[Class]int{}
	sorted := slices.SortedFunc(slices.Values(all), compareLosses)
	kept := slices.DeleteFunc(sorted, func(l Loss) bool {
		of[l.Class]++
		return of[l.Class] > LossesPerClass
	})
	return append([]Loss{}, kept...)
}

// compareLosses is by time, and by all else where that is the same, so that the order is always one and the same.
func compareLosses(a, b Loss) int {
	return cmp.Or(
		cmp.Compare(a.At, b.At),
		cmp.Compare(a.String(), b.String()),
		cmp.Compare(a.Sample, b.Sample),
		cmp.Compare(a.Latency, b.Latency),
		cmp.Compare(a.Generation, b.Generation),
		cmp.Compare(a.flags(), b.flags()),
	)
}

func (l Loss) flags() int {
	n := 0
	for i, set := range []bool{l.Within, l.Hidden, l.Refused, l.Duplicate} {
		if set {
			n |= 1 << i
		}
	}
	return n
}
