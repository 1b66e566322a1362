package bench

import (
	"context"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestHold(t *testing.T) {
	const pause, operation = time.Second, 10 * time.Second
	for _, c := range []struct {
		name    string
		upgrade time.Duration // when it begins; 0: never
		over    time.Duration // when it is over; 0: never
		cancel  time.Duration // when the context ends; 0: never
		want    time.Duration
	}{
		{name: "no upgrade", want: pause},
		{name: "an upgrade begins during the pause", upgrade: 400 * time.Millisecond, over: 3 * time.Second, want: 3 * time.Second},
		{name: "a quick upgrade", upgrade: 400 * time.Millisecond, over: 500 * time.Millisecond, want: 500 * time.Millisecond},
		{name: "an upgrade without end", upgrade: 400 * time.Millisecond, want: operation / 2},
		{name: "an upgrade after the pause", upgrade: 2 * pause, over: 3 * pause, want: pause},
		{name: "the run ends", cancel: 100 * time.Millisecond, want: 100 * time.Millisecond},
		{name: "the run ends during an upgrade", upgrade: 1, cancel: 2 * time.Second, want: 2 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHold(pause)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				at := func(when time.Duration, do func()) {
					if when != 0 {
						time.AfterFunc(when, do)
					}
				}
				over := make(chan struct{})
				at(c.upgrade, func() { h.Around(over) })
				at(c.over, func() { close(over) })
				at(c.cancel, cancel)
				if waited := h.wait(ctx, time.Now().Add(operation)); waited != c.want {
					t.Errorf("waited %v, want %v", waited, c.want)
				}
				if h.held != 0 {
					t.Errorf("%d are held still", h.held)
				}
			})
		})
	}
}

// However many operations there are, only so many wait at once, and fewer of them for an upgrade's end.
func TestHoldIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHold(0)
		waited := make(chan time.Duration, 2*mostHeld)
		for range cap(waited) {
			go func() { waited <- h.wait(t.Context(), time.Now().Add(time.Minute)) }()
		}
		synctest.Wait()
		over := make(chan struct{})
		h.Around(over)
		time.AfterFunc(10*time.Second, func() { close(over) })
		got := map[time.Duration]int{}
		for range cap(waited) {
			got[<-waited]++
		}
		if got[0] != mostHeld || got[DefaultHold] != mostHeld-mostAcross || got[10*time.Second] != mostAcross {
			t.Errorf("waited: %v", got)
		}
	})
}

// Every timed lane waits in the middle of its operations, until an upgrade that begins meanwhile is over.
func TestTimedLanesWait(t *testing.T) {
	plain, secure := serveAll(t, false), serveAll(t, true)
	echo := serveEcho(t, func(_ *server, c net.Conn, _ int64, p []byte) bool { c.Write(p); return true })
	timed := 0
	for _, info := range Lanes() {
		lane, err := NewLane(info.Name, Targets{HTTP: &plain, HTTPS: &secure, TCP: echo.addr(), Hold: ample})
		if err != nil {
			t.Fatal(err)
		}
		held, ok := lane.(interface {
			Timed
			waiting() int
			secure() bool
		})
		if !ok {
			continue
		}
		timed++
		t.Run(info.Name, func(t *testing.T) {
			if held.Persistent() {
				t.Error("its clients are to keep their connections")
			}
			if held.secure() != (info.Needs == NeedsHTTPS) {
				t.Errorf("the report is told that TLS is %v", held.secure())
			}
			c := client(t, lane)
			tapped := 0
			c.(Tapped).Tap(func(syscall.RawConn) { tapped++ })
			done := make(chan Result, 1)
			go func() { done <- c.Do(1, time.Now().Add(2*ample)) }()
			for held.waiting() == 0 {
				select {
				case r := <-done:
					t.Fatalf("it did not wait: %v", r.Failure)
				case <-time.After(time.Millisecond):
				}
			}
			over := make(chan struct{})
			held.Around(over)
			close(over)
			if r := <-done; r.Class != OK {
				t.Error(r.Err)
			}
			if waited := c.(Waiter).Waited(); waited <= 0 || waited >= ample {
				t.Errorf("it says that it waited %v", waited)
			}
			if tapped != 1 {
				t.Errorf("the kernel's witness saw %d connections close", tapped)
			}
		})
	}
	if timed != 11 {
		t.Errorf("%d timed lanes", timed)
	}
}

func TestWaitedIsOfTheLastOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lane := &timed[*httpClient]{
			hold:   newHold(time.Second),
			client: func(context.Context, int) *httpClient { return nil },
			do: func(_ *httpClient, seq int64, _ time.Time, wait func()) (r Result) {
				for range seq {
					wait()
				}
				return r
			},
		}
		c := lane.Client(t.Context(), 0).(Waiter)
		for _, seq := range []int64{2, 1, 0} {
			c.(Client).Do(seq, time.Now().Add(time.Minute))
			if want := time.Duration(seq) * time.Second; c.Waited() != want {
				t.Errorf("waited %v, want %v", c.Waited(), want)
			}
		}
	})
}

func (h *hold) waiting() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.held
}
