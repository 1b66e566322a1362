//go:build linux

package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/bench"
	"github.com/seed-e3b9a99f/baton/internal/testca"
)

// ownDemo starts a demo from a file that the test may replace, and ends it, all generations of it, with the test.
func ownDemo(t *testing.T, program, cert, key string) (at bench.DemoAddrs) {
	t.Helper()
	log, theirs, err := os.Pipe() // each generation holds it open
	if err != nil {
		t.Fatal(err)
	}
	pidFile := filepath.Join(filepath.Dir(program), "pid")
	cmd := exec.Command(program, "demo", "--http", "127.0.0.1:0", "--https", "127.0.0.1:0", "--tcp", "127.0.0.1:0", "--probation", "100ms",
		"--pid-file", pidFile, "--cert", cert, "--key", key, "--drain-timeout", "2s")
	cmd.Env, cmd.Stderr = append(os.Environ(), asBaton+"=1"), theirs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	said := make(chan []byte, 1)
	go func() {
		text, _ := io.ReadAll(log)
		said <- text
	}()
	t.Cleanup(func() {
		pid := cmd.Process.Pid
		if text, err := os.ReadFile(pidFile); err == nil { // the generation in charge
			pid, _ = strconv.Atoi(string(bytes.TrimSpace(text)))
		}
		_ = syscall.Kill(pid, syscall.SIGTERM)
		select {
		case text := <-said:
			if t.Failed() {
				t.Logf("%s", text)
			}
		case <-time.After(30 * time.Second):
			t.Errorf("the demo does not end; pid %d is killed", pid)
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		_ = cmd.Wait()
		log.Close()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	at.PIDFile = pidFile
	for _, word := range strings.Fields(line) {
		switch name, value, _ := strings.Cut(word, "="); name {
		case "http":
			at.HTTP = value
		case "https":
			at.HTTPS = value
		}
	}
	return at
}

// All kinds of events in one run: whatever is done to the demo, each is carried out, none loses anything, and all is as
// it was at the end.
func TestBenchEvents(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	newer := append(bytes.Clone(binary), "newer"...) // what follows an ELF file's sections does not matter
	for name, content := range map[string][]byte{"server": binary, "newer": newer} {
		if err := os.WriteFile(file(name), content, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	ca := testca.New(t, "CA")
	cert, key := ca.Issue(t, testca.Request{Names: []string{"localhost"}}).Write(t, dir)
	before, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	demo := ownDemo(t, file("server"), cert, key)

	status, stdout, stderr := baton(t, "bench", "--http", demo.HTTP, "--https", "https://"+demo.HTTPS, "--pid-file", demo.PIDFile,
		"--upgrades", "6", "--interval", "1200ms", "--jitter", "100ms", "--rate", "50", "--conns", "4",
		"--events", "upgrade,rotate,reload", "--inject", "exit", "--server-binary", file("server"), "--rolling-binary", file("newer"),
		"--rotate-cert", cert, "--rotate-key", key, "--reload-cmd", "echo reload >>"+file("reloads"),
		"--json", file("json"), "--html", file("html"), "--junit", file("junit"))
	text, err := os.ReadFile(file("json"))
	if err != nil {
		t.Fatalf("%v; status %d, %q\n%s", err, status, stderr, stdout)
	}
	r := decode(t, string(text))
	if r.Verdict.Lost != 0 || r.Verdict.FailedUpgrade != 0 || r.Verdict.Requests == 0 || r.Verdict.Pass != (status == 0) || len(r.Upgrades) != 6 {
		t.Fatalf("status %d, %q\n%s", status, stderr, stdout)
	}
	var what []string
	for _, u := range r.Upgrades {
		what = append(what, u.What())
		if u.What() == "upgrade" != (u.FromPID != 0 && u.ToPID != 0 && u.Event.OldGone > 0 && u.Event.Binary == file("newer")) {
			t.Errorf("%+v, %+v", u, u.Event)
		}
	}
	const want = "upgrade rotation reload bad upgrade rotation reload"
	if got := strings.Join(what, " "); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if exit := r.Upgrades[3].Event; exit.Fault != bench.FaultExit || exit.FaultEnded <= 0 || r.Upgrades[1].InEffect() <= 0 {
		t.Errorf("%+v", exit)
	}
	const sum = "across 1 upgrade, 2 rotations, 2 reloads, 1 bad upgrade; new generation serving after "
	for name, all := range map[string][]string{
		"stdout": {"events 6/6", "\nrotation ", "\nbad upgrade ", sum},
		"html":   {"rotation 2", "bad binary: exit", sum},
		"junit":  {`name="reload 3"`, `name="bad upgrade 4"`, "exit, started after"},
	} {
		text := []byte(stdout)
		if name != "stdout" {
			if text, err = os.ReadFile(file(name)); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range all {
			if !strings.Contains(string(text), want) {
				t.Errorf("no %q in %s:\n%.4000s", want, name, text)
			}
		}
	}
	for name, want := range map[string]string{cert: string(before), file("server"): string(newer), file("reloads"): "reload\nreload\n"} {
		if got, err := os.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%s has %d bytes (%.20q …), want %d; %v", name, len(got), got, len(want), err)
		}
	}
}
