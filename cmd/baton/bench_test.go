//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-e3b9a99f/baton/bench"
)

// asBaton makes the test binary be baton itself, for tests that need it as a process.
const asBaton = "BATON_BENCH_TEST_AS_BATON"

func init() {
	if os.Getenv(asBaton) != "" {
		main()
	}
}

// baton runs a command line in this process.
func baton(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, complaints bytes.Buffer
	status = exitCode(run(context.Background(), args, &out, &complaints), &complaints)
	return status, out.String(), complaints.String()
}

func TestBenchUsage(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"--pid-file x", "say which server"},
		{"--upgrade-cmd true", "say which server"},
		{"--http :80", "say how to upgrade the server"},
		{"--http :80 --pid-file x --upgrade-cmd y --signal HUP", "give one of them"},
		{"--http :80 --upgrades 0 --signal HUP", "say to which process"},
		{"--http :80 --pid-file x --signal NOPE", "is no signal"},
		{"--http :80 --events reload,nonsense --reload-cmd x", "is no kind of event"},
		{"--http :80 --events reload", "by --reload-signal or --reload-cmd"},
		{"--http :80 --events reload --reload-signal HUP", "--reload-signal: say to which process"},
		{"--http :80 --events reload --reload-signal NOPE --pid-file x", "is no signal"},
		{"--http :80 --events reload --reload-signal HUP --reload-cmd x --pid-file x", "give one of them"},
		{"--http :80 --events reload --reload-cmd x --upgrade-cmd y", "there is no upgrade among --events"},
		{"--http :80 --events reload --reload-cmd x --inject exit --server-binary y", "there is no upgrade among --events"},
		{"--http :80 --events upgrade,reload --reload-cmd x", "say how to upgrade the server"},
		{"--http :80 --upgrade-cmd y --reload-cmd x", "there is no reload among --events"},
		{"--https :80 --upgrade-cmd y --rotate-cert x --rotate-key x", "there is no rotate among --events"},
		{"--https :80 --events rotate", "by --rotate-cert"},
		{"--json - --html -", "both write to standard output"},
		{"--json x --junit ./x", "--json, --junit: both write to ./x"},
		{"--hdr-log x --demo-log x", "both write to x"},
		{"--against restart --json x --markdown x", "both write to x"},
		{"--against restart --fail-on lost>0", "--against has --json and --markdown"},
		{"--demo-log -", "--demo-log"},
		{"--lanes nonsense", "no lane"},
		{"--http :80 --upgrades 0 --fail-on lost>0,upgrading.p99>1s", "upgrading.p99>1s: there is nothing upgrading"},
		{"--start-at 2001-01-01T00:00:00Z", " days ago"},
		{"--http a:b:c --upgrades 0", "--http"},
		{"--http https://localhost --upgrades 0", "is not http"},
		{"--https localhost:0 --upgrades 0", "--https"},
		{"--tcp localhost --upgrades 0", "--tcp"},
		{"--tcp :7 --path /x --upgrades 0", "--path"},
		{"--http :80 --path x --upgrades 0", "--path"},
		{"--http :80 --verify --upgrades 0", "--verify"},
		{"--tcp :7 --server-name x --upgrades 0", "--server-name"},
		{"--rate 0", "--rate"},
		{"--rate x", "--rate"},
		{"--conns 0", "--conns"},
		{"--interval 0s", "--interval"},
		{"--interval 5", "--interval"},
		{"--timeout 0s", "--timeout"},
		{"--upgrade-timeout 0s", "--upgrade-timeout"},
		{"--duration 1s", "--upgrades 0"},
		{"--upgrades=-1", "--upgrades"},
		{"--max-lost=-1", "--max-lost"},
		{"--tcp :7 --upgrades 0 --demo-log x", "--demo-log"},
		{"--nonsense", "--nonsense"},
	} {
		status, stdout, stderr := baton(t, append([]string{"bench"}, strings.Fields(c.args)...)...)
		if status != 2 || !strings.Contains(stderr, c.want) || !strings.HasSuffix(stderr, " (see baton bench run --help)\n") ||
			strings.Count(stderr, "\n") != 1 || stdout != "" {
			t.Errorf("bench %s: status %d, %q, %q; want 2 and one line with %q", c.args, status, stdout, stderr, c.want)
		}
	}
}

func TestBenchCannotReachTarget(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close()
	status, _, stderr := baton(t, "bench", "--http", server.URL, "--upgrades", "0")
	if status != 2 || !strings.Contains(stderr, "cannot reach the server") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("status %d, %q", status, stderr)
	}
}

// foreign is a server that knows nothing of Baton, and answers every nth POST by 500.
func foreign(t *testing.T, nth int64) *httptest.Server {
	t.Helper()
	var posts atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/path" || r.Host != "some.name" {
			http.NotFound(w, r)
			return
		}
		io.Copy(io.Discard, r.Body)
		if r.Method == http.MethodPost && nth > 0 && posts.Add(1)%nth == 0 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(server.Close)
	return server
}

func decode(t *testing.T, text string) (r bench.Report) {
	t.Helper()
	from := json.NewDecoder(strings.NewReader(text))
	if err := from.Decode(&r); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	if rest, _ := io.ReadAll(from.Buffered()); strings.TrimSpace(string(rest)) != "" {
		t.Errorf("after the JSON: %q", rest)
	}
	return r
}

func TestBenchForeignServer(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	server := foreign(t, 0)
	defer server.Close()
	marks := filepath.Join(t.TempDir(), "marks")
	status, stdout, stderr := baton(t, "bench", "--http", server.URL, "--path", "/path", "--server-name", "some.name",
		"--upgrade-cmd", "echo mark >>"+marks, "--upgrades", "3", "--interval", "100ms", "--rate", "100", "--conns", "3", "--json", "-")
	r := decode(t, stdout)
	if r.Verdict.Lost != 0 || r.Verdict.FailedUpgrade != 0 || len(r.Upgrades) != 3 || len(r.Lanes) != 2 || r.Lanes[0].OK == 0 {
		t.Errorf("%+v", r)
	}
	if r.Verdict.Pass != (status == 0) || !strings.HasSuffix(stderr, "\n"+r.Verdict.Line+"\n") {
		t.Errorf("status %d with %+v and %q", status, r.Verdict, stderr)
	}
	if text, err := os.ReadFile(marks); err != nil || string(text) != "mark\nmark\nmark\n" {
		t.Errorf("the command left %q, %v", text, err)
	}
}

// Of all lanes, those stay that the server can serve; a server that serves none of them is the one error.
func TestBenchAllLanes(t *testing.T) {
	server := foreign(t, 0)
	args := []string{"bench", "--http", server.URL, "--path", "/path", "--server-name", "some.name", "--lanes", "all",
		"--upgrades", "0", "--duration", "300ms", "--rate", "20", "--conns", "3", "--json", "-"}
	_, stdout, stderr := baton(t, args...)
	r := decode(t, stdout)
	if !strings.Contains(stderr, "left out: http websocket: ") || r.Verdict.Lost != 0 || len(r.Lanes) < 5 {
		t.Errorf("%d lanes, %s", len(r.Lanes), stderr)
	}
	for _, l := range r.Lanes {
		if l.Name == "http websocket" {
			t.Error("it has a lane that was left out")
		}
	}
	server.Close()
	if status, _, stderr := baton(t, args...); status != 2 || strings.Contains(stderr, "left out") || !strings.Contains(stderr, "http new: ") {
		t.Errorf("status %d, %q", status, stderr)
	}
}

func TestBenchFailsOnLosses(t *testing.T) {
	server := foreign(t, 10)
	file := filepath.Join(t.TempDir(), "report.json")
	args := []string{"bench", "--http", server.URL, "--path", "/path", "--server-name", "some.name",
		"--upgrades", "0", "--duration", "300ms", "--rate", "100", "--conns", "3", "--json", file}
	status, stdout, stderr := baton(t, args...)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r := decode(t, string(text))
	keepAlive := r.Lanes[1]
	if status != 1 || stderr != "" || keepAlive.Lost == 0 || len(keepAlive.Failures) != 1 || keepAlive.Failures[0].Class != bench.WrongStatus {
		t.Errorf("status %d, %q, %+v", status, stderr, keepAlive)
	}
	if !strings.Contains(stdout, "\nFAIL: ") || !strings.Contains(stdout, "wrong status (500)") {
		t.Error(stdout)
	}
	if status, stdout, _ = baton(t, append(args, "--max-lost", "1000")...); strings.Contains(stdout, "FAIL") {
		t.Errorf("with --max-lost: status %d\n%s", status, stdout)
	}
}

func TestBenchFailsOnFailedUpgrade(t *testing.T) {
	server := foreign(t, 0)
	status, stdout, _ := baton(t, "bench", "--http", server.URL, "--path", "/path", "--server-name", "some.name",
		"--upgrade-cmd", "echo the new one is bad; exit 7", "--upgrades", "1", "--interval", "50ms", "--rate", "100", "--conns", "3")
	if status != 1 || !strings.Contains(stdout, "upgrade 1 failed: command") || !strings.Contains(stdout, "exit status 7; it said: the new one is bad") {
		t.Errorf("status %d\n%s", status, stdout)
	}
}

func TestBenchJSONFileThatCannotBe(t *testing.T) {
	status, _, stderr := baton(t, "bench", "--json", filepath.Join(t.TempDir(), "no", "such"))
	if status != 2 || !strings.Contains(stderr, "--json: open") {
		t.Errorf("status %d, %q", status, stderr)
	}
}

// benchDemo is a bench of the demo as a process, and a pipe that ends when no process of either is left.
func benchDemo(t *testing.T, args ...string) (cmd *exec.Cmd, stdout io.Reader, alive *os.File) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log") // the demo's log is a FIFO, so that whoever lives holds it open
	if err := syscall.Mkfifo(log, 0o600); err != nil {
		t.Fatal(err)
	}
	alive, err := os.OpenFile(log, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { alive.Close() })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(self, append([]string{"bench", "--demo-log", log, "--rate", "50", "--conns", "4"}, args...)...)
	cmd.Env = append(os.Environ(), asBaton+"=1")
	complaints := new(bytes.Buffer)
	cmd.Stderr = complaints
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s", complaints)
		}
	})
	stdout, err = cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, stdout, alive
}

// allGone fails the test unless every process that holds the log ends.
func allGone(t *testing.T, alive *os.File) {
	t.Helper()
	alive.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.Copy(io.Discard, alive); err != nil {
		t.Errorf("a process of the demo lives on: %v", err)
	}
}

func TestBenchDrivesTheDemo(t *testing.T) {
	cmd, stdout, alive := benchDemo(t, "--upgrades", "2", "--interval", "1500ms", "--json", "-")
	text, err := io.ReadAll(stdout)
	if err != nil {
		t.Fatal(err)
	}
	waitErr := cmd.Wait()
	r := decode(t, string(text))
	if len(r.Lanes) != 6 || len(r.Upgrades) != 2 || r.Verdict.Lost != 0 || r.Verdict.FailedUpgrade != 0 {
		t.Errorf("%+v", r)
	}
	for _, lane := range r.Lanes {
		if lane.OK == 0 {
			t.Errorf("%+v", lane)
		}
	}
	for _, u := range r.Upgrades {
		if u.ToGeneration == "" || u.ToPID == 0 || u.Serving <= 0 {
			t.Errorf("%+v", u)
		}
	}
	if (waitErr == nil) != r.Verdict.Pass {
		t.Errorf("%v with %+v", waitErr, r.Verdict)
	}
	allGone(t, alive)
}

func TestInterruptedBenchStopsTheDemo(t *testing.T) {
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		cmd, stdout, alive := benchDemo(t, "--upgrades", "100")
		lines := bufio.NewReader(stdout)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(line, "upgrade 1:") {
				break
			}
		}
		cmd.Process.Signal(sig)
		rest, err := io.ReadAll(lines)
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(rest), "\nINTERRUPTED") {
			t.Errorf("%v: %v\n%s", sig, err, rest)
		}
		allGone(t, alive)
	}
}

// A client that writes to a closed connection brings a SIGPIPE, and that is nothing to end for.
func TestBenchOutlivesBrokenPipes(t *testing.T) {
	cmd, stdout, alive := benchDemo(t, "--upgrades", "1", "--interval", "1500ms")
	lines := bufio.NewReader(stdout)
	if _, err := lines.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	cmd.Process.Signal(syscall.SIGPIPE)
	rest, err := io.ReadAll(lines)
	if err != nil {
		t.Fatal(err)
	}
	if cmd.Wait(); !strings.Contains(string(rest), "upgrade 1:") || strings.Contains(string(rest), "INTERRUPTED") {
		t.Errorf("%v\n%s", cmd.ProcessState, rest)
	}
	allGone(t, alive)
}

// A reader that goes away, as head does, ends the run, and the demo with it. There is nobody to tell the result.
func TestBenchWithoutReaderStopsTheDemo(t *testing.T) {
	cmd, stdout, alive := benchDemo(t, "--upgrades", "100")
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	stdout.(io.Closer).Close()
	if cmd.Wait(); cmd.ProcessState.ExitCode() != 2 {
		t.Errorf("%v", cmd.ProcessState)
	}
	allGone(t, alive)
}
