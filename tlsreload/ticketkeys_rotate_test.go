package tlsreload

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/internal/tickets"
	"pgregory.net/rapid"
)

func keysIn(t *testing.T, path string) []tickets.Key {
	t.Helper()
	text, err := readKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := parseKeys(path, text)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestRotateKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	now := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	rotate := func(lead time.Duration, keep int) []tickets.Key {
		t.Helper()
		if err := RotateKeyFile(path, now, lead, keep); err != nil {
			t.Fatal(err)
		}
		return keysIn(t, path)
	}
	first := rotate(time.Hour, 3)
	if len(first) != 1 || first[0].From.After(now) {
		t.Fatalf("%v: the first key does not issue at once", first)
	}
	second := rotate(time.Minute, 1)
	if len(second) != 2 || second[1].Secret != first[0].Secret || second[0].From.Before(now.Add(time.Minute)) {
		t.Fatalf("%v became %v: the key that issues must stay, and the new one wait", first, second)
	}
	now = now.Add(2 * time.Minute)
	third := rotate(time.Minute, 2)
	if len(third) != 2 || third[1].Secret != second[0].Secret {
		t.Fatalf("%v became %v: the oldest must go", second, third)
	}
	now = now.Add(time.Second)
	if last := rotate(0, 1); len(last) != 1 || last[0].From.After(now) || last[0].Secret == third[0].Secret {
		t.Fatalf("%v became %v: only a new key must stay", third, last)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Error(info, err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("left over: %v", entries)
	}
	before := keysIn(t, path)
	for _, c := range []struct {
		lead time.Duration
		keep int
		want string
	}{{-1, 1, "negative"}, {0, 0, "give 1 to 64"}, {0, 65, "give 1 to 64"}, {0, 1, "a second later"}} {
		if err := RotateKeyFile(path, now, c.lead, c.keep); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	if !slices.EqualFunc(before, keysIn(t, path), func(a, b tickets.Key) bool { return a.Secret == b.Secret }) {
		t.Error("an error has changed the file")
	}
}

// Instances that read the file at other times, each within the interval, never meet a ticket that they cannot open.
func TestFleet(t *testing.T) {
	const interval = 10
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		n, keep := rapid.IntRange(2, 4).Draw(t, "instances"), rapid.IntRange(1, 3).Draw(t, "keep")
		file, err := rotated(nil, start, 0, keep)
		if err != nil {
			t.Fatal(err)
		}
		fleet, looks := make([]*tickets.Ring, n), make([]int, n)
		for i := range fleet {
			fleet[i] = tickets.New(0, 0, start)
		}
		accepted := make([][]tickets.Key, n)
		for second := range 120 {
			now := start.Add(time.Duration(second) * time.Second)
			for i, ring := range fleet {
				if second == looks[i] {
					if err := ring.Replace(file, now); err != nil {
						t.Fatal(err)
					}
					accepted[i] = file
					looks[i] += rapid.IntRange(1, interval).Draw(t, "next look")
				}
				ring.Rotate(now)
			}
			for i, ring := range fleet {
				_, from := ring.State()
				for j := range fleet {
					if !slices.ContainsFunc(accepted[j], func(k tickets.Key) bool { return k.From.Equal(from) }) {
						t.Fatalf("second %d: %d issues with the key from %v, %d accepts %v", second, i, from, j, accepted[j])
					}
				}
			}
			if rapid.IntRange(0, 9).Draw(t, "rotate") == 0 {
				lead := time.Duration(rapid.IntRange(interval, 3*interval).Draw(t, "lead")) * time.Second
				if next, err := rotated(file, now, lead, keep); err == nil { // or there is one of that second
					file = next
				}
			}
		}
	})
}
