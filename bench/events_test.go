package bench

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseKindsAndFaults(t *testing.T) {
	kinds, err := ParseKinds("upgrade, rotate,upgrade,reload")
	if want := []Kind{KindUpgrade, KindRotate, KindUpgrade, KindReload}; err != nil || !slices.Equal(kinds, want) {
		t.Errorf("%v, %v", kinds, err)
	}
	faults, err := ParseFaults("crash,exit , hang")
	if want := []Fault{FaultCrash, FaultExit, FaultHang}; err != nil || !slices.Equal(faults, want) {
		t.Errorf("%v, %v", faults, err)
	}
	for _, s := range []string{"", "upgrade,", "restart", "Upgrade", "exit;hang"} {
		if got, err := ParseKinds(s); err == nil {
			t.Errorf("kinds %q: %v", s, got)
		}
		if got, err := ParseFaults(s); err == nil {
			t.Errorf("faults %q: %v", s, got)
		}
	}
}

func TestEventsTakeTurns(t *testing.T) {
	for _, c := range []struct {
		kinds  string
		faults string
		every  int
		want   string // of each event, the fault where there is one
	}{
		{"upgrade", "", 0, "upgrade upgrade upgrade"},
		{"upgrade,rotate,reload", "", 0, "upgrade rotate reload upgrade rotate"},
		{"upgrade", "exit,hang,crash", 2, "upgrade exit upgrade hang upgrade crash upgrade exit"},
		{"upgrade", "exit,hang", 1, "exit hang exit"},
		{"upgrade,reload", "exit,crash", 3, "upgrade reload upgrade reload exit reload upgrade reload upgrade reload crash"},
	} {
		kinds, _ := ParseKinds(c.kinds)
		u := Upgrades{Kinds: kinds}
		if c.faults != "" {
			faults, _ := ParseFaults(c.faults)
			u.Inject = &Injection{Faults: faults, Every: c.every}
		}
		for i, want := range strings.Fields(c.want) {
			e := u.plan(i + 1)
			got := string(e.Kind)
			if e.Fault != "" {
				got = string(e.Fault)
			}
			if got != want || e.Number != i+1 {
				t.Errorf("%s with %q every %d: event %d is %s (%d), want %s", c.kinds, c.faults, c.every, i+1, got, e.Number, want)
			}
		}
	}
}

func TestPauseStaysWithinJitter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		u := Upgrades{Interval: time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(rt, "interval"))}
		u.Jitter = time.Duration(rapid.Int64Range(0, int64(u.Interval)).Draw(rt, "jitter"))
		if p := u.pause(); p < u.Interval-u.Jitter || p > u.Interval+u.Jitter {
			rt.Errorf("%v ± %v came to %v", u.Interval, u.Jitter, p)
		}
	})
	u := Upgrades{Interval: time.Hour, Jitter: time.Hour}
	shorter, longer := false, false
	for range 1000 {
		p := u.pause()
		shorter, longer = shorter || p < u.Interval, longer || p > u.Interval
	}
	if !shorter || !longer {
		t.Errorf("shorter: %v, longer: %v", shorter, longer)
	}
}

func TestUpgradesThatCannotBe(t *testing.T) {
	nothing := func(context.Context) error { return nil }
	for want, u := range map[string]Upgrades{
		"without a trigger":             {},
		"events rotate: say which":      {Kinds: []Kind{KindRotate}},
		"events reload: say how":        {Kinds: []Kind{KindReload}},
		"no rotate among the events":    {Trigger: nothing, Rotation: &Rotation{}},
		"no reload among the events":    {Trigger: nothing, Reload: nothing},
		"no upgrade among the events":   {Kinds: []Kind{KindReload}, Reload: nothing, Rolling: &Rolling{}},
		"jitter 3s":                     {Trigger: nothing, Jitter: 3 * time.Second},
		"jitter -1ns":                   {Trigger: nothing, Jitter: -1},
		"rolling: no binaries":          {Trigger: nothing, Rolling: &Rolling{Path: "x"}},
		"rotate: give the certificate":  {Kinds: []Kind{KindRotate}, Rotation: &Rotation{Cert: "x"}},
		"give the CA's certificate and": {Kinds: []Kind{KindRotate}, Rotation: &Rotation{Cert: "x", Key: "y", Addr: "z", CAKey: "k"}},
	} {
		u.Count = 1
		if err := u.withDefaults().validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	u := Upgrades{Count: 1, Kinds: []Kind{KindReload}, Reload: nothing}
	if err := u.withDefaults().validate(); err != nil {
		t.Errorf("reloads alone: %v", err)
	}
}

// Reloads take turns with upgrades, and each has its own trigger, window and event.
func TestReloadsAmongUpgrades(t *testing.T) {
	var did []string
	d, told := rehearsal(Upgrades{Count: 4, Kinds: []Kind{KindUpgrade, KindReload}})
	d.Trigger = func(context.Context) error {
		did = append(did, "upgrade")
		time.AfterFunc(time.Millisecond, func() { d.seen.succeeded(time.Now(), time.Now()) })
		return nil
	}
	d.Reload = func(context.Context) error {
		did = append(did, "reload")
		if len(did) == 4 {
			return errors.New("the config is bad")
		}
		return nil
	}
	d.run(t.Context())
	if want := []string{"upgrade", "reload", "upgrade", "reload"}; !slices.Equal(did, want) {
		t.Errorf("did %v", did)
	}
	if len(d.finished) != 4 || len(d.events()) != 4 || len(d.windows.windows) != 4 || len(*told) != 4 {
		t.Fatalf("%d upgrades, %d events, %d windows, %d told of", len(d.finished), len(d.events()), len(d.windows.windows), len(*told))
	}
	for i, e := range d.events() {
		u := d.finished[i]
		if e.Number != i+1 || u.Number != i+1 || string(e.Kind) != did[i] || (e.Effective > 0) != (i == 1) || (u.Serving > 0) != (i%2 == 0) {
			t.Errorf("event %+v beside %+v", e, u)
		}
	}
	if err := d.finished[3].Error; err != "the config is bad" {
		t.Error(err)
	}
	if text := d.events()[1].String(); !strings.Contains(text, "triggered within") {
		t.Error(text)
	}
}

func TestReloadThatHangsIsAFailure(t *testing.T) {
	d, _ := rehearsal(Upgrades{Count: 1, Kinds: []Kind{KindReload}, Timeout: 20 * time.Millisecond})
	d.Reload = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	d.run(t.Context())
	if len(d.finished) != 1 || !strings.Contains(d.finished[0].Error, "did not end within 20ms") {
		t.Errorf("%+v", d.finished)
	}
}

func TestStartTime(t *testing.T) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		at   string
		in   time.Duration
		want time.Time
	}{
		{"", 0, time.Time{}},
		{"", 10 * time.Second, now.Add(10 * time.Second)},
		{"2026-01-31T12:00:30Z", 0, now.Add(30 * time.Second)},
		{"2026-01-31T14:00:00.5+02:00", 0, now.Add(500 * time.Millisecond)},
	} {
		if got, err := StartTime(c.at, c.in, now); err != nil || !got.Equal(c.want) {
			t.Errorf("%q, %v: %v, %v; want %v", c.at, c.in, got, err, c.want)
		}
	}
	for want, c := range map[string]struct {
		at string
		in time.Duration
	}{
		"give one of them": {"2026-01-31T12:00:30Z", time.Second},
		"above zero":       {"", -time.Second},
		"give a time as":   {"12:00", 0},
		"was 1m0s ago":     {"2026-01-31T11:59:00Z", 0},
	} {
		if got, err := StartTime(c.at, c.in, now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, %v; want %q", c, got, err, want)
		}
	}
}
