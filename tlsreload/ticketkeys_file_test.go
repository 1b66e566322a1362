package tlsreload

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

const (
	keyA = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="
	keyB = "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI="
)

func TestParseKeys(t *testing.T) {
	keys, err := parseKeys("k", []byte("# ours\r\n\n2026-01-02T03:04:05Z "+keyA+"\r\n2026-01-02T03:04:05+02:00\t"+keyB))
	if err != nil || len(keys) != 2 {
		t.Fatal(keys, err)
	}
	if keys[0].Secret != [32]byte([]byte(strings.Repeat("A", 32))) {
		t.Error("another secret")
	}
	if want := time.Date(2026, 1, 2, 1, 4, 5, 0, time.UTC); !keys[1].From.Equal(want) {
		t.Errorf("from %v, want %v", keys[1].From, want)
	}
}

func TestParseKeysRefuses(t *testing.T) {
	const at = "2026-01-02T03:04:05Z "
	for text, want := range map[string]string{
		"":                                   "k:1: no key in it",
		"# nothing\n":                        "k:1: no key in it",
		keyA + "\n":                          "k:1: a line is a time, a space, and a key",
		keyA + " 2026-01-02T03:04:05Z\n":     "k:1: the time is not as RFC 3339 has it",
		at + "\n":                            "k:1: a line is",
		at + keyA + "\nyesterday " + keyB:    "k:2: the time is not as RFC 3339 has it",
		at + keyA[:43]:                       "k:1: the key is not base64",
		at + "QUFBQQ==":                      "k:1: the key has 4 bytes, not 32",
		at + keyA + "\n\n" + at + keyB:       "k:3: the time of line 1 again",
		at + keyA + "\n2027" + at[4:] + keyA: "k:2: the key of line 1 again",
	} {
		if _, err := parseKeys("k", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte("# comment\n2026-01-02T03:04:05Z " + keyA + "\n2026-01-03T03:04:05.5+01:00 " + keyB + "\n"))
	f.Add([]byte(keyA + " 2026-01-02T03:04:05Z"))
	f.Add([]byte("2026-01-02T03:04:05Z " + keyA[:20]))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := parseKeys("k", text)
		if err != nil {
			for _, field := range strings.Fields(string(text)) {
				if len(field) > 24 && strings.Contains(err.Error(), field) {
					t.Errorf("%v: quotes the file", err)
				}
			}
			return
		}
		again, err := parseKeys("k", formatKeys(keys))
		if err != nil || len(again) != len(keys) {
			t.Fatalf("%d keys became %d, %v", len(keys), len(again), err)
		}
		for i := range keys {
			if again[i].Secret != keys[i].Secret || !again[i].From.Equal(keys[i].From) {
				t.Errorf("key %d is another", i)
			}
		}
	})
}

func TestReadKeyFileRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := readKeyFile(dir); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Error(err)
	}
	path := filepath.Join(dir, "keys")
	if err := os.WriteFile(path, make([]byte, maxKeyFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readKeyFile(path); err == nil || !strings.Contains(err.Error(), "more than 65536 bytes") {
		t.Error(err)
	}
	if runtime.GOOS == "windows" {
		return
	}
	if err := errors.Join(os.Truncate(path, 0), os.Chmod(path, 0o640)); err != nil {
		t.Fatal(err)
	}
	if _, err := readKeyFile(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Error(err)
	}
}

// A file is believed once two readings agree, and never while it is half written.
func TestReadSettled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	writes := []string{"ha", "half", "whole", "whole"}
	write("h")
	text, err := readSettled(path, nil, func() error {
		write(writes[0])
		writes = writes[1:]
		return nil
	})
	if err != nil || string(text) != "whole" || len(writes) != 0 {
		t.Errorf("%q, %v, %d writes to go", text, err, len(writes))
	}
	n := 0
	if _, err := readSettled(path, nil, func() error { n++; write(strings.Repeat("x", n)); return nil }); err == nil {
		t.Error("a file that never settles is taken")
	}
	stop := errors.New("stop")
	if _, err := readSettled(path, nil, func() error { return stop }); err != stop {
		t.Error(err)
	}
	text, _ = os.ReadFile(path)
	if _, err := readSettled(path, text, func() error { return stop }); err != nil {
		t.Error("waits for what is known:", err)
	}
}
