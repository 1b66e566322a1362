package bench

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// While an old generation drains there are two of them, with the memory of two, and then it is gone.
func TestUsageOfRealProcesses(t *testing.T) {
	s := startService(t, "")
	d := drives(s, Upgrades{Count: 2})
	d.report = func(u Upgrade) {
		for end := time.Now().Add(ample); !d.census.of(u.Number - 1).last; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("upgrade %d is never over: %+v", u.Number, d.census.of(u.Number-1))
			}
		}
	}
	d.run(t.Context())
	if len(d.events()) != 2 {
		t.Fatalf("%d events", len(d.events()))
	}
	for i, e := range d.events() {
		if u := d.finished[i]; u.Error != "" || e.OldGone < u.PIDFile || e.OldGone < ms(drainsFor) || e.OldAlive {
			t.Errorf("event %+v beside %+v", e, u)
		}
		u := e.Usage
		if u == nil {
			t.Fatal("no usage")
		}
		if u.ProcessesBefore != 1 || u.ProcessesPeak < 2 || u.ProcessesAfter != 1 || u.GenerationsPeak != 2 || u.CPU < 0 {
			t.Errorf("usage %+v", u)
		}
		if u.RSSBefore < 1<<20 || u.RSSPeak < u.RSSBefore*3/2 || u.PSSBefore < 1<<19 || u.PSSPeak <= u.PSSBefore {
			t.Errorf("usage %+v", u)
		}
		if peak := u.MemoryPeak(); peak <= 1 || peak > 4 {
			t.Errorf("memory peak %g of %+v", peak, u)
		}
	}
}

// An old process that stays is said to be alive, and one that was never replaced is nobody's old one.
func TestOldProcessesThatStay(t *testing.T) {
	old, now := runHelper("waits"), runHelper("waits")
	for _, cmd := range []interface{ Start() error }{old, now} {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
	}
	defer func() {
		unix.Kill(old.Process.Pid, unix.SIGKILL)
		unix.Kill(now.Process.Pid, unix.SIGKILL)
		old.Wait()
		now.Wait()
	}()
	path := pidFile(t, old.Process.Pid)
	d, _ := rehearsal(Upgrades{Count: 1, PIDFile: path})
	d.Trigger = nil
	d.census = newCensus(d.pid)
	u, _ := d.begin(1)
	writePID(t, path, now.Process.Pid)
	d.end()
	u.ToPID = now.Process.Pid
	u.Event = &Event{}
	d.finished = []Upgrade{u, {Event: &Event{}}}
	d.begin(2)
	d.account()
	if e := d.events()[0]; !e.OldAlive || e.OldGone != 0 {
		t.Errorf("%+v", e)
	}
	if e := d.events()[1]; e.OldAlive || e.OldGone != 0 {
		t.Errorf("%+v", e)
	}
	if u := d.events()[1].Usage; u == nil || u.ProcessesBefore != 2 || u.GenerationsPeak != 2 {
		t.Errorf("%+v", u)
	}
}

func init() { helpers["waits"] = func() error { select {} } }

// BenchmarkSample is what one look at all the machine's processes costs, ten of them a second during an event.
func BenchmarkSample(b *testing.B) {
	for b.Loop() {
		if _, err := readProcesses(); err != nil {
			b.Fatal(err)
		}
	}
}
