package bench

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestReadProcess(t *testing.T) {
	me, err := readProcess(os.Getpid())
	if err != nil || me.parent != os.Getppid() || me.rss < 1<<20 || me.started == 0 {
		t.Errorf("%+v, %v", me, err)
	}
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	if now := float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9; me.cpu > now+0.02 || me.cpu < 0 {
		t.Errorf("%g s CPU, and getrusage says %g later", me.cpu, now)
	}
	if pss := readPSS(os.Getpid()); pss < 1<<20 || pss > me.rss*2 {
		t.Errorf("PSS %d beside RSS %d", pss, me.rss)
	}
	all, err := readProcesses()
	if err != nil || all[os.Getpid()].started != me.started || all[os.Getppid()].rss == 0 {
		t.Errorf("%v among %d processes, %v", all[os.Getpid()], len(all), err)
	}
}

// A process that has ended is gone, whether or not somebody has waited for it.
func TestZombiesAreGone(t *testing.T) {
	cmd := runHelper("nothing")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := readProcess(cmd.Process.Pid); err != nil {
		t.Errorf("while it lives: %v", err)
	}
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_PID, cmd.Process.Pid, &info, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := readProcess(cmd.Process.Pid); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("before it is reaped: %v", err)
	}
	out.Close()
	cmd.Wait()
	if _, err := readProcess(cmd.Process.Pid); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after: %v", err)
	}
}

const statLine = "4711 (a) b (c) S 17 4711 4711 0 -1 4194304 1 2 3 4 150 50 7 8 20 0 9 0 123456 1000000 256 18446744073709551615 1 2 3"

func TestParseStat(t *testing.T) {
	p, err := parseStat([]byte(statLine))
	if want := (process{parent: 17, started: 123456, cpu: 2, rss: 256 * pageSize}); err != nil || p != want {
		t.Errorf("%+v, %v; want %+v", p, err, want)
	}
	if got := parsePSS("Rss:  9 kB\nPss:                1234 kB\nPss_Dirty: 7 kB\n"); got != 1234<<10 {
		t.Errorf("PSS %d", got)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add(statLine)
	f.Add("1 () Z 1")
	f.Add(") ) )")
	f.Add(strings.Replace(statLine, "123456", "-1", 1))
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := parseStat([]byte(text)); err == nil && len(strings.Fields(text)) < 22 {
			t.Errorf("%q is taken for a whole line: %+v", text, p)
		}
	})
}
