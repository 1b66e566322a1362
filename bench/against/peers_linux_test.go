package against

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/bench"
)

// Each peer starts, answers on all that it serves, is upgraded twice, and leaves nothing behind.
func TestPeers(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and starts every peer")
	}
	dir, err := os.MkdirTemp("", "against-test-") // nginx's workers cannot see into a test's own
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	baton := buildBaton(t)
	if _, err := build(filepath.Join(dir, "baselines"), "grace"); err != nil && !errors.As(err, new(*Missing)) {
		t.Fatal(err)
	}
	for _, p := range Peers() {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			o := Options{Baton: baton, Drain: 500 * time.Millisecond}
			if p.Name == "overseer" {
				o.Drain = 0 // its master hangs if a restart takes longer than that
			}
			r, err := p.Start(t.Context(), dir, o)
			var missing *Missing
			if errors.As(err, &missing) {
				t.Skip(missing)
			}
			if err != nil {
				t.Fatal(err)
			}
			keeper := r.keeper.cmd.Process.Pid
			defer func() {
				all := descendants(keeper)
				if len(all) == 0 {
					t.Error("no processes before it is stopped")
				}
				if err := r.Stop(); err != nil {
					t.Error(err)
				}
				for _, pid := range append(all, keeper) {
					if _, err := os.Stat(filepath.Join("/proc", itoa(pid))); err == nil {
						t.Errorf("pid %d is left", pid)
					}
				}
			}()
			driveTwice(t, r, p.Family == "baton")
		})
	}
}

// driveTwice holds the peer to what must be so however much it loses: it serves each lane, and its upgrades work.
func driveTwice(t *testing.T, r *Running, ours bool) {
	t.Helper()
	lanes, err := r.Lanes()
	if err != nil {
		t.Fatal(err)
	}
	want := 4
	if r.TCP != "" {
		want = 6
	}
	if len(lanes) != want {
		t.Errorf("%d lanes, want %d", len(lanes), want)
	}
	upgrades := r.Upgrades(2, 1200*time.Millisecond)
	upgrades.LeadIn, upgrades.Timeout = 100*time.Millisecond, 8*time.Second
	report, err := bench.Run(t.Context(), bench.Plan{
		Lanes: lanes, Rate: 20, Conns: 4, Upgrades: upgrades, LateAfter: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range report.Lanes {
		if l.OK == 0 {
			t.Errorf("%s: nothing answered: %+v", l.Name, l.Failures)
		}
	}
	for _, u := range report.Upgrades {
		if u.Error != "" && !ours { // overseer's master ends, or ignores the signal, in some runs
			t.Skipf("the peer failed its own upgrade %d: %s", u.Number, u.Error)
		}
		if u.Error != "" {
			t.Errorf("upgrade %d: %s", u.Number, u.Error)
		}
		if r.GenerationHeader != "" && (u.ToGeneration == "" || u.ToGeneration == u.FromGeneration) {
			t.Errorf("upgrade %d: from generation %q to %q", u.Number, u.FromGeneration, u.ToGeneration)
		}
	}
	if t.Failed() {
		text, _ := os.ReadFile(r.Log)
		t.Logf("log:\n%.4000s", text)
	}
}

func buildBaton(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "baton")
	if out, err := exec.Command("go", "build", "-o", path, module+"/cmd/baton").CombinedOutput(); err != nil {
		t.Logf("baton is left out: build it: %v\n%s", err, out)
		return ""
	}
	return path
}

// The nested module is vetted here, since ./... does not reach into it.
func TestBaselinesVet(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the nested module")
	}
	source, err := baselines("go")
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"vet", "./..."}, {"test", "./..."}} {
		cmd := exec.Command("go", args...)
		cmd.Dir = source
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("go %s in %s: %v\n%s", strings.Join(args, " "), source, err, out)
		}
	}
}

// A keeper whose starter dies, or forgets it, ends everything: its input ends.
func TestStopEndsAStubbornPeer(t *testing.T) {
	s, err := newSite(filepath.Join(t.TempDir(), "stubborn"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	// Deaf to SIGTERM, and one whose parent is gone beside it.
	k, err := keep(s, false, []string{"sh", "-c",
		`trap '' TERM; (sleep 60 & echo $! > part; mv part orphan); while :; do sleep 1; done`})
	if err != nil {
		t.Fatal(err)
	}
	var orphan int
	if err := until(k.done, 10*time.Second, func() (bool, error) {
		orphan, err = pidIn(s.path("orphan"))
		return err == nil, nil
	}); err != nil {
		t.Fatal(err)
	}
	if n := k.processes(); n < 2 {
		t.Errorf("%d processes, want the shell and the orphan", n)
	}
	err = k.stop()
	if err == nil || !strings.Contains(err.Error(), "killed what did not end by SIGTERM") {
		t.Errorf("Stop: %v, want that it had to kill", err)
	}
	if _, err := os.Stat(filepath.Join("/proc", itoa(orphan))); err == nil {
		t.Errorf("the orphan (pid %d) is left", orphan)
	}
}

func TestStartTellsWhyNot(t *testing.T) {
	p := peer(t, "baton")
	if _, err := p.Start(t.Context(), t.TempDir(), Options{}); !errors.As(err, new(*Missing)) {
		t.Errorf("without a binary: %v, want Missing", err)
	}
	_, err := p.Start(t.Context(), t.TempDir(), Options{Baton: "/bin/false"})
	if err == nil || !strings.Contains(err.Error(), "start baton: it ended before it was ready") {
		t.Errorf("a binary that ends: %v", err)
	}
	t.Setenv("PATH", "/nonexistent")
	_, err = peer(t, "caddy").Start(t.Context(), t.TempDir(), Options{})
	if err == nil || !strings.Contains(err.Error(), "caddy is not installed: apt-get install caddy") {
		t.Errorf("without caddy: %v", err)
	}
	_, err = peer(t, "grace").Start(t.Context(), t.TempDir(), Options{})
	if !errors.As(err, new(*Missing)) {
		t.Errorf("without Go: %v, want Missing", err)
	}
}

func TestRunGoesOnWithoutAPeer(t *testing.T) {
	peers := []Peer{peer(t, "baton"), peer(t, "baton-proxy")}
	var lines []string
	outcomes, err := Run(t.Context(), peers, Options{}, nil, func(line string) { lines = append(lines, line) })
	if err != nil || len(outcomes) != 2 || outcomes[0].Skipped == "" || outcomes[1].Skipped == "" {
		t.Errorf("outcomes %+v, error %v, want two that were skipped", outcomes, err)
	}
	if len(lines) != 4 {
		t.Errorf("progress: %q, want two lines for each", lines)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if outcomes, err := Run(ended, peers, Options{}, nil, nil); err != context.Canceled || len(outcomes) != 0 {
		t.Errorf("after the end: %+v, %v", outcomes, err)
	}
}
