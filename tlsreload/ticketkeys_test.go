package tlsreload

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func newTicketKeys(t *testing.T, opts TicketOptions) *TicketKeys {
	t.Helper()
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	keys, err := NewTicketKeys(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keys.Close() })
	return keys
}

func TestTicketKeysRotateThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		keys := newTicketKeys(t, TicketOptions{Lifetime: time.Hour, Keep: 2})
		time.Sleep(time.Hour - time.Second)
		if got := keys.Status(); got.Keys != 1 || !got.Issuing.Equal(start) || !got.Next.Equal(start.Add(time.Hour)) {
			t.Errorf("before its time: %+v", got)
		}
		time.Sleep(2 * time.Second)
		if got := keys.Status(); got.Keys != 2 || !got.Issuing.Equal(start.Add(time.Hour)) {
			t.Errorf("after its time: %+v", got)
		}
		blob := keys.Export()
		if err := keys.InvalidateAll(); err != nil || keys.Status().Keys != 1 {
			t.Errorf("%v, %+v", err, keys.Status())
		}
		next := newTicketKeys(t, TicketOptions{Lifetime: time.Hour, Keep: 2})
		if err := next.Import(blob); err != nil || !bytes.Equal(next.Export(), blob) {
			t.Errorf("import: %v", err)
		}
		if err := next.Import(blob[1:]); err == nil || !bytes.Equal(next.Export(), blob) {
			t.Errorf("garbage: %v", err)
		}
		time.Sleep(time.Hour - 11*time.Second)
		late := newTicketKeys(t, TicketOptions{Lifetime: time.Hour, Keep: 2})
		synctest.Wait() // its goroutine has set a timer already
		if err := late.Import(blob); err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Second) // an imported key is rotated when it is due, not an hour after Import
		for _, k := range []*TicketKeys{next, late} {
			if got := k.Status(); !got.Issuing.Equal(start.Add(2 * time.Hour)) {
				t.Errorf("after Import: %+v", got)
			}
		}
	})
}

func TestTicketKeyFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "keys")
		start := time.Now()
		if _, err := NewTicketKeys(TicketOptions{File: path}); err == nil || !strings.Contains(err.Error(), path) {
			t.Fatalf("starts without its file: %v", err)
		}
		if err := RotateKeyFile(path, start, 0, 4); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		keys := newTicketKeys(t, TicketOptions{File: path, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		old := keys.Export()
		if err := RotateKeyFile(path, start, time.Minute, 4); err != nil {
			t.Fatal(err)
		}
		time.Sleep(DefaultInterval + time.Second)
		if got := keys.Status(); got.Keys != 2 || !got.Issuing.Equal(start) || !got.Next.Equal(start.Add(time.Minute)) {
			t.Errorf("a new key that waits: %+v", got)
		}
		time.Sleep(time.Minute)
		if got := keys.Status(); got.Keys != 2 || !got.Issuing.Equal(start.Add(time.Minute)) {
			t.Errorf("when its time has come: %+v", got)
		}

		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		before := keys.Export()
		for range 2 { // a cause that comes back is not told again
			if err := os.WriteFile(path, append(bytes.Clone(good), "garbage"...), 0o600); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			if got := keys.Status(); !strings.Contains(got.Err, path+":4: ") || !bytes.Equal(keys.Export(), before) {
				t.Errorf("garbage: %+v", got)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			if got := keys.Status(); !strings.Contains(got.Err, path) || !bytes.Equal(keys.Export(), before) {
				t.Errorf("vanished: %+v", got)
			}
		}
		if got := strings.Count(log.String(), "stay as they were"); got != 2 {
			t.Errorf("%d warnings for 2 causes: %s", got, &log)
		}
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(DefaultInterval + time.Second)
		if got := keys.Status(); got.Err != "" || !strings.Contains(log.String(), "good again") {
			t.Errorf("good again: %+v", got)
		}

		if err := keys.InvalidateAll(); err == nil || !bytes.Equal(keys.Export(), before) {
			t.Errorf("one instance has left its fleet: %v", err)
		}
		if err := keys.Import(old); err != nil || !bytes.Equal(keys.Export(), before) {
			t.Errorf("a blob has replaced the file's keys: %v", err)
		}
		if err := RotateKeyFile(path, time.Now(), 0, 1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(DefaultInterval + time.Second)
		if got := keys.Status(); got.Keys != 1 {
			t.Errorf("the old keys are still accepted: %+v", got)
		}
		keys.Close()
		if strings.Contains(log.String(), strings.Fields(string(good))[len(strings.Fields(string(good)))-1]) {
			t.Error("the log has a key")
		}
	})
}

func TestTicketOptionsAreChecked(t *testing.T) {
	for _, opts := range []TicketOptions{
		{Lifetime: time.Millisecond}, {Lifetime: -1}, {Keep: -1}, {Keep: 65}, {Interval: -1},
	} {
		if keys, err := NewTicketKeys(opts); err == nil {
			keys.Close()
			t.Errorf("%+v is taken", opts)
		}
	}
}
