package bench

import (
	"testing"
	"time"
)

func TestTimeline(t *testing.T) {
	base := time.Now()
	at := func(s int) time.Time { return base.Add(time.Duration(s) * time.Second) }
	var counted Kernel
	line := timeline{witness: func() (Kernel, bool) { return counted, true }}
	if n := line.lost(at(5)); n != 0 {
		t.Errorf("a loss before all upgrades is tied to number %d", n)
	}
	counted.RetransSegs = 100
	line.open(at(10))
	if line.place(at(8), at(11)) != during || line.place(at(8), at(9)) != before {
		t.Error("the first window is open from 10")
	}
	line.close(at(12))
	line.lost(at(15)) // after the window, and before the next signal
	counted.RetransSegs = 107
	line.open(at(20))
	line.close(at(22))
	line.lost(at(19))
	if n := line.lost(at(21)); n != 2 {
		t.Errorf("a loss after the second signal is tied to number %d", n)
	}
	for _, c := range []struct {
		from, to int
		want     part
	}{
		{1, 9, before}, {1, 10, during}, {11, 11, during}, {12, 15, during}, {13, 19, after},
		{13, 20, during}, {13, 30, during}, {22, 30, during}, {23, 30, after}, {1, 30, during},
	} {
		if got := line.place(at(c.from), at(c.to)); got != c.want {
			t.Errorf("[%d, %d] lies in part %v, want %v", c.from, c.to, got, c.want)
		}
	}
	first := line.complete(Upgrade{Number: 1}, base, &Kernel{RetransSegs: 109})
	second := line.complete(Upgrade{Number: 2}, base, &Kernel{RetransSegs: 109})
	if line.losses != 1 || first.Lost != 2 || second.Lost != 1 {
		t.Errorf("lost %d before, %d and %d; want 1, 2 and 1", line.losses, first.Lost, second.Lost)
	}
	if first.Until != 12 || first.Kernel.RetransSegs != 7 || second.Kernel.RetransSegs != 2 {
		t.Errorf("%+v %+v, %+v %+v", first, first.Kernel, second, second.Kernel)
	}
}
