package admin

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write testdata anew, to be reviewed")

func TestText(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, s := range map[string]Status{
		"full": full(now),
		"calm": {
			Version: "1.4.0", PID: 7, Generation: 1, Phase: "serving", Since: now.Add(-time.Second), Living: []int{7},
			LastReload: &LastReload{At: now.Add(-time.Minute)}, ConfigFile: "/etc/baton.yaml",
			Listeners: []Listener{{Name: "web", Protocol: "http", Address: ":80"}},
		},
		"empty": {},
	} {
		t.Run(name, func(t *testing.T) {
			for suffix, got := range map[string][]byte{".txt": s.text(now), ".colour.txt": colour(s.text(now))} {
				file := filepath.Join("testdata", name+suffix)
				if *update {
					if err := os.WriteFile(file, got, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, want) {
					t.Errorf("%s is now\n%s\nwas\n%s", file, got, want)
				}
			}
		})
	}
}

func TestTextIsPlainWhereItIsNoTerminal(t *testing.T) {
	s := full(time.Now())
	var buf bytes.Buffer
	if err := s.Text(&buf); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := s.Text(file); err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{buf.String(), string(written)} {
		if strings.Contains(out, "\x1b") || !strings.Contains(out, "generation 3 (pid 4711)") {
			t.Errorf("%q", out)
		}
	}
	file.Close()
	if err := s.Text(file); err == nil {
		t.Error("a write to a closed file is no error")
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour:                     "0s",
		999 * time.Millisecond:         "0s",
		59 * time.Second:               "59s",
		time.Minute:                    "1m 0s",
		time.Hour - time.Second:        "59m 59s",
		4*time.Hour + 12*time.Minute:   "4h 12m",
		24*time.Hour - time.Nanosecond: "23h 59m",
		76 * time.Hour:                 "3d 4h",
	} {
		if got := duration(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
