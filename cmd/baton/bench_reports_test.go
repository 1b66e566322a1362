//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/bench"
)

// Two machines, as far as the bench can tell: what they write is one report, and can be set beside one of them.
func TestBenchMergeAndCompare(t *testing.T) {
	server := foreign(t, 0)
	dir := t.TempDir()
	start := time.Now().Add(time.Second).Format(time.RFC3339Nano)
	files := []string{filepath.Join(dir, "a.json"), filepath.Join(dir, "b.json")}
	var both sync.WaitGroup
	for _, file := range files {
		both.Go(func() {
			_, stdout, stderr := baton(t, "bench", "--http", server.URL, "--path", "/path", "--server-name", "some.name", "--upgrades", "0",
				"--duration", "300ms", "--rate", "100", "--conns", "3", "--start-at", start, "--json", file)
			if stderr != "" {
				t.Errorf("%s%s", stdout, stderr)
			}
		})
	}
	both.Wait()
	if t.Failed() {
		return
	}

	merged, page := filepath.Join(dir, "m.json"), filepath.Join(dir, "m.html")
	status, stdout, stderr := baton(t, "bench", "merge", files[0], files[1], "-o", merged, "--html", page, "--fail-on", "p99>1ns")
	if status != 1 || stderr != "" || !strings.Contains(stdout, "\n--fail-on: ") {
		t.Errorf("status %d, %q\n%s", status, stderr, stdout)
	}
	read := func(file string) bench.Report {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return decode(t, string(text))
	}
	a, b, m := read(files[0]), read(files[1]), read(merged)
	if m.Runs != 2 || m.Verdict.Requests == 0 || m.Verdict.Requests != a.Verdict.Requests+b.Verdict.Requests {
		t.Errorf("%d runs and %d requests, of %d and %d", m.Runs, m.Verdict.Requests, a.Verdict.Requests, b.Verdict.Requests)
	}
	if text, err := os.ReadFile(page); err != nil || !strings.Contains(string(text), ", 2 runs") {
		t.Errorf("%v, %d bytes", err, len(text))
	}

	status, stdout, stderr = baton(t, "bench", "compare", files[0], merged, "--json")
	var compared bench.Comparison
	if err := json.Unmarshal([]byte(stdout), &compared); err != nil || status != 0 || stderr != "" || len(compared.Lanes) != 2 {
		t.Errorf("status %d, %v, %q\n%s", status, err, stderr, stdout)
	}
	if status, stdout, _ = baton(t, "bench", "compare", files[0], merged); status != 0 || !strings.Contains(stdout, "loss rate, %") ||
		!strings.HasPrefix(stdout, "A: "+files[0]+", begun ") || !strings.Contains(stdout, "\nB: "+merged+", begun ") {
		t.Errorf("status %d\n%s", status, stdout)
	}
	for want, args := range map[string]string{
		"they are the same":              fmt.Sprintf("merge %s %s %s", files[0], files[1], files[0]),
		"they are the same; give each":   fmt.Sprintf("merge %s %s", files[0], files[0]),
		page + ": invalid character":     fmt.Sprintf("merge %s %s", files[0], page),
		dir + "/none: no such file":      fmt.Sprintf("compare %s %s/none", files[0], dir),
		"is it a report of baton bench ": fmt.Sprintf("compare %s %s", page, files[0]),
		"--fail-on":                      fmt.Sprintf("merge %s --fail-on nonsense", files[0]),
		"there was no upgrade":           fmt.Sprintf("merge %s %s --fail-on upgrading.p99>1s", files[0], files[1]),
		"both write to ":                 fmt.Sprintf("merge %s %s -o %s --html %s", files[0], files[1], merged, merged),
		"--output: open ":                fmt.Sprintf("merge %s %s -o %s/no/such", files[0], files[1], dir),
	} {
		status, _, stderr := baton(t, append([]string{"bench"}, strings.Fields(args)...)...)
		if status != 2 || !strings.Contains(stderr, want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("bench %s: status %d, %q; want one line with %q", args, status, stderr, want)
		}
	}
}

// A run that cannot begin leaves what it was to write as it was.
func TestBenchKeepsReportsOfBefore(t *testing.T) {
	old, fresh := filepath.Join(t.TempDir(), "old.json"), filepath.Join(t.TempDir(), "new.html")
	if err := os.WriteFile(old, []byte("of before, and longer than what comes"), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := baton(t, "bench", "--tcp", "127.0.0.1:1", "--upgrades", "0", "--json", old, "--html", fresh); status != 2 {
		t.Errorf("status %d, %q", status, stderr)
	}
	if text, err := os.ReadFile(old); err != nil || !strings.HasPrefix(string(text), "of before") {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := os.Stat(fresh); !os.IsNotExist(err) {
		t.Errorf("an empty report stays: %v", err)
	}

	if err := os.WriteFile(old, []byte(strings.Repeat("x", 1<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	server := foreign(t, 0)
	baton(t, "bench", "--http", server.URL, "--path", "/path", "--server-name", "some.name",
		"--upgrades", "0", "--duration", "100ms", "--conns", "3", "--json", old)
	text, err := os.ReadFile(old)
	if err != nil {
		t.Fatal(err)
	}
	decode(t, string(text))
}
