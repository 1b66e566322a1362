package bench

import (
	"testing"
	"time"
)

func TestTimeline(t *testing.T) {
	base := time.Now()
	at := func(s int) time.Time { return base.Add(time.Duration(s) * time.Second) }
	var line timeline
	line.lost(at(5))
	line.open(at(10))
	if !line.touches(at(8), at(11)) || line.touches(at(8), at(9)) {
		t.Error("the first window is open from 10")
	}
	line.close(at(12))
	line.lost(at(15)) // after the window, and before the next signal
	line.open(at(20))
	line.close(at(22))
	line.lost(at(19))
	line.lost(at(21))
	for _, c := range []struct {
		from, to int
		want     bool
	}{
		{1, 9, false}, {1, 10, true}, {11, 11, true}, {12, 15, true}, {13, 19, false},
		{13, 20, true}, {13, 30, true}, {22, 30, true}, {23, 30, false}, {1, 30, true},
	} {
		if got := line.touches(at(c.from), at(c.to)); got != c.want {
			t.Errorf("[%d, %d] touches a window: %v, want %v", c.from, c.to, got, c.want)
		}
	}
	if line.losses != 1 || line.lostIn(0) != 2 || line.lostIn(1) != 1 {
		t.Errorf("lost %d before, %d and %d; want 1, 2 and 1", line.losses, line.lostIn(0), line.lostIn(1))
	}
}
