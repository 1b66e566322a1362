//go:build unix

package main

import (
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-e3b9a99f/baton/bench"
)

// A server that is only reloaded needs no way to be upgraded. The signal goes to the process in the pidfile; a command
// needs none.
func TestBenchReloadsOnly(t *testing.T) {
	reloads := make(chan os.Signal, 2)
	signal.Notify(reloads, syscall.SIGUSR1)
	t.Cleanup(func() { signal.Stop(reloads) })
	pidFile := filepath.Join(t.TempDir(), "pid")
	if err := os.WriteFile(pidFile, []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		t.Fatal(err)
	}
	server := foreign(t, 0)
	for name, how := range map[string][]string{
		"signal":  {"--reload-signal", "USR1", "--pid-file", pidFile},
		"command": {"--reload-cmd", "kill -USR1 " + strconv.Itoa(os.Getpid())},
	} {
		status, stdout, stderr := baton(t, append([]string{"bench", "--http", server.URL, "--path", "/path", "--server-name", "some.name",
			"--lanes", "http-new", "--events", "reload", "--upgrades", "2", "--interval", "100ms", "--rate", "50", "--json", "-"}, how...)...)
		r := decode(t, stdout)
		if len(r.Upgrades) != 2 || r.Verdict.FailedUpgrade != 0 || r.Verdict.Pass != (status == 0) || !strings.Contains(stderr, " across 2 reloads") {
			t.Errorf("%s: status %d, %+v, %q", name, status, r.Verdict, stderr)
		}
		for range 2 {
			<-reloads
		}
		if strings.Contains(stderr, "certificates") {
			t.Errorf("%s: there are no certificates: %q", name, stderr)
		}
	}
}

func TestOverTLS(t *testing.T) {
	var at bench.Targets
	for scheme, to := range map[string]**bench.HTTP{"http": &at.HTTP, "https": &at.HTTPS} {
		target, err := bench.ParseHTTP(scheme, "localhost:1")
		if err != nil {
			t.Fatal(err)
		}
		*to = &target
	}
	at.TCP = "localhost:1"
	for _, l := range bench.Lanes() {
		lane, err := bench.NewLane(l.Name, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := overTLS([]bench.Lane{lane}); got != strings.HasPrefix(l.Name, "https-") {
			t.Errorf("%s: %v", l.Name, got)
		}
	}
}
