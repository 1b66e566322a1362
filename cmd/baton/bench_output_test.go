//go:build unix

package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-e3b9a99f/baton/bench"
)

// Each form goes to standard output when its flag says so, and what people read gets out of its way.
func TestBenchStandardOutput(t *testing.T) {
	t.Chdir(t.TempDir())
	server := foreign(t, 0)
	for flag, want := range map[string]string{
		"--html": "<!doctype html>", "--junit": "<?xml ", "--hdr-log": "#[", "--benchmarks": "pkg: ",
	} {
		status, stdout, stderr := baton(t, "bench", "--http", server.URL, "--path", "/path", "--server-name", "some.name", "--lanes", "http-new",
			"--upgrades", "0", "--duration", "100ms", "--rate", "100", flag, "-", "--json", "r.json")
		if status == 2 || !strings.HasPrefix(stdout, want) || !strings.Contains(stderr, "requests lost") || strings.Contains(stdout, "how they failed") {
			t.Errorf("%s -: status %d, %.200q, %q", flag, status, stdout, stderr)
		}
	}
	if left, err := filepath.Glob("*"); err != nil || len(left) != 1 || left[0] != "r.json" {
		t.Errorf("%q, %v: want only r.json", left, err)
	}
}

// The results of a comparison stay, as those of a run do.
func TestPutKeepsWhatItMade(t *testing.T) {
	made, kept := filepath.Join(t.TempDir(), "made"), filepath.Join(t.TempDir(), "kept")
	if err := os.WriteFile(kept, []byte("longer than what comes"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := openOutput(streams{}, []destination{{"json", made}, {"markdown", kept}, {"html", ""}})
	if err != nil {
		t.Fatal(err)
	}
	write := func(w io.Writer) error { _, err := io.WriteString(w, "it"); return err }
	if err := errors.Join(out.put("json", write), out.put("markdown", write), out.put("html", write), out.close()); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{made, kept} {
		if text, err := os.ReadFile(file); err != nil || string(text) != "it" {
			t.Errorf("%s: %q, %v", file, text, err)
		}
	}
}

// A link to a file is that file, and what nobody reads may be written by all.
func TestApart(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := errors.Join(os.WriteFile("file", nil, 0o600), os.Symlink("file", "link")); err != nil {
		t.Fatal(err)
	}
	for _, same := range []string{"file", "./file", "link", "-"} {
		first := "file"
		if same == "-" {
			first = "-"
		}
		if err := apart(destination{"json", first}, destination{"html", same}); err == nil || !strings.HasPrefix(err.Error(), "--json, --html: ") {
			t.Errorf("%s and %s: %v", first, same, err)
		}
	}
	if err := apart(destination{"a", "file"}, destination{"b", "-"}, destination{"c", ""}, destination{"d", ""},
		destination{"e", os.DevNull}, destination{"f", os.DevNull}, destination{"g", "other"}); err != nil {
		t.Error(err)
	}
}

// A report that cannot be written does not keep the rest from being told, and is no bad result.
func TestWriteTellsAllThatItCan(t *testing.T) {
	flags := &outputFlags{JSON: "/dev/full"}
	if _, err := os.Stat(flags.JSON); err != nil {
		t.Skip(err)
	}
	var people strings.Builder
	out, err := openOutput(streams{out: &people}, flags.destinations())
	if err != nil {
		t.Fatal(err)
	}
	err = out.end(out.write(flags, bench.Report{Verdict: bench.Verdict{Line: "FAIL: all of it"}}))
	var said strings.Builder
	if status := exitCode(err, &said); status != 2 || !strings.Contains(said.String(), "--json: write /dev/full: no space left") {
		t.Errorf("status %d, %q", status, said.String())
	}
	if !strings.HasSuffix(people.String(), "\nFAIL: all of it\n") {
		t.Errorf("%q", people.String())
	}
}
