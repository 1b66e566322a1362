package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// rehearsal is a driver whose server is its trigger.
func rehearsal(u Upgrades) (*driver, *[]Upgrade) {
	var told []Upgrade
	u.Interval, u.Settle, u.LeadIn = time.Millisecond, time.Millisecond, time.Millisecond
	return &driver{
		Upgrades: u.withDefaults(),
		start:    time.Now(),
		seen:     newGenerations(),
		windows:  &timeline{},
		report:   func(u Upgrade) { told = append(told, u) },
		patience: pidPatience,
	}, &told
}

// events are those of the driver's upgrades.
func (d *driver) events() (list []*Event) {
	for _, u := range d.finished {
		list = append(list, u.Event)
	}
	return list
}

func pidFile(t *testing.T, pid int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pid")
	writePID(t, path, pid)
	return path
}

func writePID(t *testing.T, path string, pid int) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(strconv.Itoa(pid)+"\n"), 0o644); err != nil {
		t.Error(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Error(err)
	}
}

// answers makes generation n answer on a connection that is opened now.
func (d *driver) answers(n int) {
	now := time.Now()
	d.seen.saw(strconv.Itoa(n), now, now)
}

func TestGenerationHeaderIsTheFirstSign(t *testing.T) {
	path := pidFile(t, 100)
	d, told := rehearsal(Upgrades{Count: 3, PIDFile: path})
	served := 1
	d.Trigger = func(context.Context) error {
		served++
		d.answers(served)
		pid := 100 + served
		time.AfterFunc(20*time.Millisecond, func() { writePID(t, path, pid) })
		return nil
	}
	d.answers(1)
	d.run(t.Context())
	if len(d.finished) != 3 || len(*told) != 3 {
		t.Fatalf("%d upgrades, %d told of", len(d.finished), len(*told))
	}
	for i, u := range d.finished {
		from, to := strconv.Itoa(i+1), strconv.Itoa(i+2)
		if u.Error != "" || u.Number != i+1 || u.FromGeneration != from || u.ToGeneration != to {
			t.Errorf("upgrade %+v, want from %s to %s", u, from, to)
		}
		if u.FromPID == u.ToPID || u.ToPID != 102+i || u.Serving <= 0 || u.PIDFile < u.Serving {
			t.Errorf("upgrade %+v: want the generation before pid %d", u, 102+i)
		}
	}
}

func TestPIDFileIsTheSecondSign(t *testing.T) {
	path := pidFile(t, 100)
	d, _ := rehearsal(Upgrades{Count: 2, PIDFile: path})
	pid := 100
	d.Trigger = func(context.Context) error {
		pid++
		writePID(t, path, pid)
		return nil
	}
	d.run(t.Context())
	for i, u := range d.finished {
		if u.Error != "" || u.FromPID != 100+i || u.ToPID != 101+i || u.Serving != u.PIDFile || u.Serving <= 0 {
			t.Errorf("upgrade %+v", u)
		}
	}
	if len(d.finished) != 2 {
		t.Errorf("%d upgrades", len(d.finished))
	}
}

// A master of workers keeps its pid. Only the first upgrade waits for the pidfile.
func TestNewWorkersAreTheThirdSign(t *testing.T) {
	if _, err := readProcess(os.Getpid()); err != nil {
		t.Skip("processes cannot be looked at on this system")
	}
	worker := func() *exec.Cmd {
		cmd := exec.Command("sleep", "60")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			cmd.Process.Kill()
			cmd.Wait()
		})
		return cmd
	}
	worker()
	d, _ := rehearsal(Upgrades{Count: 3, PIDFile: pidFile(t, os.Getpid()), Timeout: 5 * time.Second})
	d.patience = 100 * time.Millisecond
	d.Trigger = func(context.Context) error { worker(); return nil }
	d.run(t.Context())
	for _, u := range d.finished {
		if u.Error != "" || u.SeenBy != SignWorkers || u.Serving <= 0 || u.FromPID != os.Getpid() || u.ToPID != 0 {
			t.Errorf("upgrade %+v", u)
		}
	}
	if len(d.finished) != 3 || !d.inPlace {
		t.Errorf("%d upgrades, in place: %v", len(d.finished), d.inPlace)
	}
}

// Who has no children before, and then one, is about to be replaced by it.
func TestAChildIsNoWorker(t *testing.T) {
	cmd := exec.Command("sh", "-c", "read go; sleep 60 & read stop; kill $!")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Write([]byte("stop\n"))
	d, _ := rehearsal(Upgrades{Count: 1, PIDFile: pidFile(t, cmd.Process.Pid), Timeout: 300 * time.Millisecond})
	d.patience = 100 * time.Millisecond
	d.Trigger = func(context.Context) error { _, err := in.Write([]byte("go\n")); return err }
	d.run(t.Context())
	if len(d.finished) != 1 || !strings.Contains(d.finished[0].Error, "still names pid") {
		t.Errorf("%+v", d.finished)
	}
}

func TestAnAnswerIsTheLastSign(t *testing.T) {
	d, _ := rehearsal(Upgrades{Count: 2})
	d.Trigger = func(context.Context) error {
		before := time.Now()
		time.AfterFunc(10*time.Millisecond, func() { d.seen.succeeded(before, time.Now()) }) // sent before the trigger was through
		time.AfterFunc(30*time.Millisecond, func() { d.seen.succeeded(time.Now(), time.Now()) })
		return nil
	}
	d.run(t.Context())
	for _, u := range d.finished {
		if u.Error != "" || u.SeenBy != SignAnswer || u.Serving < 30 {
			t.Errorf("upgrade %+v", u)
		}
	}
	if len(d.finished) != 2 {
		t.Errorf("%d upgrades", len(d.finished))
	}
}

// A proxy passes on the header of the server behind it, which is not upgraded.
func TestHeaderOfAnotherServer(t *testing.T) {
	path := pidFile(t, 100)
	d, _ := rehearsal(Upgrades{Count: 3, PIDFile: path})
	d.patience = 30 * time.Millisecond
	pid := 100
	d.Trigger = func(context.Context) error {
		pid++
		writePID(t, path, pid)
		d.answers(1)
		return nil
	}
	d.answers(1)
	d.run(t.Context())
	for _, u := range d.finished {
		if u.Error != "" || u.Serving != u.PIDFile || u.Serving <= 0 || u.FromGeneration != "" {
			t.Errorf("upgrade %+v", u)
		}
	}
	if len(d.finished) != 3 || !d.foreign {
		t.Errorf("%d upgrades, foreign: %v", len(d.finished), d.foreign)
	}
}

// A server that reloads in place changes its header and keeps its pid. Only its first upgrade waits for the pidfile.
func TestReloadInPlace(t *testing.T) {
	d, _ := rehearsal(Upgrades{Count: 3, PIDFile: pidFile(t, 100)})
	d.patience = 30 * time.Millisecond
	served := 1
	d.Trigger = func(context.Context) error {
		served++
		d.answers(served)
		return nil
	}
	d.answers(1)
	d.run(t.Context())
	for _, u := range d.finished {
		if u.Error != "" || u.ToPID != 0 || u.Serving <= 0 || u.SeenBy != SignGeneration {
			t.Errorf("upgrade %+v", u)
		}
	}
	if len(d.finished) != 3 || !d.inPlace {
		t.Errorf("%d upgrades, in place: %v", len(d.finished), d.inPlace)
	}
}

// An upgrade that has been seen is none that failed, though its time is over before the pidfile's patience is.
func TestReloadInPlaceWithAShortTimeout(t *testing.T) {
	d, _ := rehearsal(Upgrades{Count: 2, PIDFile: pidFile(t, 100), Timeout: 300 * time.Millisecond})
	served := 1
	d.Trigger = func(context.Context) error {
		served++
		d.answers(served)
		return nil
	}
	d.answers(1)
	d.run(t.Context())
	for i, u := range d.finished {
		if u.Error != "" || u.Serving <= 0 || u.ToGeneration != strconv.Itoa(i+2) {
			t.Errorf("upgrade %+v", u)
		}
	}
	if len(d.finished) != 2 {
		t.Errorf("%d upgrades", len(d.finished))
	}
}

func TestFailedUpgrades(t *testing.T) {
	never := func(context.Context) error { return nil }
	hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for _, c := range []struct {
		name    string
		trigger Trigger
		header  bool
		pidFile bool
		want    string
	}{
		{"trigger", func(context.Context) error { return errors.New("no such process") }, true, true, "no such process"},
		{"no new generation", never, true, true, "generation 1 still answers"},
		{"no new pid", never, false, true, fmt.Sprintf("still names pid %d", os.Getpid())},
		{"nothing answers", never, false, false, "nothing has answered within 100ms"},
		{"command hangs", hang, false, false, "did not end within"},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := Upgrades{Count: 1, Timeout: 100 * time.Millisecond, Trigger: c.trigger}
			if c.pidFile {
				u.PIDFile = pidFile(t, os.Getpid())
			}
			d, told := rehearsal(u)
			if c.header {
				d.answers(1)
			}
			d.run(t.Context())
			if len(d.finished) != 1 || !strings.Contains(d.finished[0].Error, c.want) || len(*told) != 1 {
				t.Errorf("upgrades %+v, want one with %q", d.finished, c.want)
			}
		})
	}
}

// A new generation serves, and then the old one does again, as after a rollback.
func TestRollbackIsAFailure(t *testing.T) {
	d, told := rehearsal(Upgrades{Count: 2})
	d.Trigger = func(context.Context) error { d.answers(2); return nil }
	d.report = func(u Upgrade) {
		*told = append(*told, u)
		d.answers(1)
	}
	d.answers(1)
	d.run(t.Context())
	for _, u := range d.finished {
		if !strings.Contains(u.Error, "generation 2 served, and then generation 1 did again") {
			t.Errorf("upgrade %+v", u)
		}
	}
	if len(d.finished) != 2 || len(*told) != 4 {
		t.Errorf("%d upgrades, %d told of, want 2 and 4", len(d.finished), len(*told))
	}
}

func TestPIDFileThatGoesBackIsAFailure(t *testing.T) {
	path := pidFile(t, 100)
	d, _ := rehearsal(Upgrades{Count: 1, PIDFile: path})
	d.Trigger = func(context.Context) error { writePID(t, path, 101); return nil }
	d.report = func(Upgrade) { writePID(t, path, 100) }
	d.run(t.Context())
	if len(d.finished) != 1 || !strings.Contains(d.finished[0].Error, "named pid 101, and then pid 100 again") {
		t.Errorf("upgrades %+v", d.finished)
	}
}

func TestInterruptedUpgradeIsNotAFailure(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	d, told := rehearsal(Upgrades{Count: 2, PIDFile: pidFile(t, 100)})
	d.Trigger = func(context.Context) error { cancel(); return nil }
	d.run(ctx)
	if len(d.finished) != 0 || len(*told) != 0 {
		t.Errorf("upgrades %+v", d.finished)
	}
}

// A pidfile that somebody left behind is found before the run, and not at each upgrade.
func TestPIDFileOfNobody(t *testing.T) {
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Skip(err)
	}
	path := pidFile(t, cmd.Process.Pid) // which it cannot have given to another one so soon
	if err := livePID(path); err == nil || !strings.Contains(err.Error(), "which does not run") {
		t.Error(err)
	}
	if err := livePID(pidFile(t, os.Getpid())); err != nil {
		t.Error(err)
	}
}
