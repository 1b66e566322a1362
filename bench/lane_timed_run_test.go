package bench

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A half request that is under way when an upgrade begins is under way until its takeover is complete, and what the
// client waits meanwhile is nobody's latency, stall or lateness.
func TestTimedLanesSpanTakeovers(t *testing.T) {
	const hold, takeover = 150 * time.Millisecond, 500 * time.Millisecond
	var mu sync.Mutex
	upgrades, spanned, serial := 0, 0, 0 // serial is odd during a takeover
	now := func() int {
		mu.Lock()
		defer mu.Unlock()
		return serial
	}
	s := serveEach(t, func(_ *server, c net.Conn, _ int) {
		in := bufio.NewReader(c)
		if _, err := in.Peek(1); err != nil {
			return
		}
		begun := now()
		asked, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, err := io.ReadAll(asked.Body)
		if err != nil {
			return
		}
		mu.Lock()
		if begun%2 == 0 && serial > begun+1 {
			spanned++
		}
		mu.Unlock()
		io.WriteString(c, request{Request: asked}.response(200, string(body), "Connection: close"))
	})
	step := func() {
		mu.Lock()
		defer mu.Unlock()
		serial++
	}
	report, err := Run(t.Context(), Plan{
		Lanes: []Lane{Halves(s.target(false), hold)}, Rate: 50, LateAfter: time.Minute,
		Upgrades: &Upgrades{
			Count: 2, Interval: 2 * takeover, Settle: time.Millisecond,
			Trigger: func(ctx context.Context) error {
				upgrades++
				step()
				defer step()
				sleepUntil(ctx, time.Now().Add(takeover))
				return nil
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	l := report.Lanes[0]
	if l.OK == 0 || l.OK != l.Operations || upgrades != 2 || spanned < 2 {
		t.Errorf("%d of %d operations, %d spanned %d upgrades: %v", l.OK, l.Operations, spanned, upgrades, l.Failures)
	}
	waits := ms(hold)
	if l.Steady.P50 >= waits || l.Upgrading.P50 >= waits || l.Series[0].P50 >= waits {
		t.Errorf("the latency has what the client waits: %+v, %+v, %+v", l.Steady, l.Upgrading, l.Series[0])
	}
}

// napping is a client that waits a second by its own choice in each operation.
type napping struct{ fake }

const nap = time.Second

func (c napping) Waited() time.Duration { return nap }

func (c napping) Do(seq int64, deadline time.Time) Result {
	time.Sleep(nap)
	return c.fake.Do(seq, deadline)
}

func TestWaitingByChoice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := testWorker(func(int64, time.Time) Result {
			time.Sleep(10 * time.Millisecond) // the server's
			return Result{Failure: Failure{Class: OK}}
		})
		w.client = napping{w.client.(fake)}
		s.of.begin(pacer{start: time.Now(), rate: 1})
		w.run(t.Context(), queue(time.Now(), time.Now()))
		s.of.stall.finish(time.Now())
		// The second operation waited for its client, which could have taken it a second earlier.
		if s.latest != nap {
			t.Errorf("began %v late, want %v", s.latest, nap)
		}
		latency := s.parts[before].latency.latency()
		if latency.Count != 2 || latency.P50 < 10 || latency.P50 > 11 || latency.Max > ms(nap)+21 {
			t.Errorf("%+v", latency)
		}
		if s.of.stall.longest > 20*time.Millisecond {
			t.Errorf("a stall of %v", s.of.stall.longest)
		}
	})
}
