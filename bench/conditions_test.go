package bench

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestConditions(t *testing.T) {
	bad := laneOf("http new", 997, 3, 0)
	bad.Allowed, bad.Stall, bad.Lag = 1, 1500, Latency{P99: 0.2}
	bad.During, bad.Before = bad.Before, Window{}
	bad.Upgrading, bad.Steady = bad.Steady, Latency{}
	r := Report{
		Lanes:   []LaneReport{laneOf("tcp new", 1000, 0, time.Millisecond), bad},
		Verdict: Verdict{Void: true, FailedUpgrade: 2},
	}
	for text, want := range map[string][]string{
		"lost>0":              {"http new: lost is 2 (fails on lost>0)"},
		"lost>2":              nil,
		"lost >= 2":           {"http new: lost is 2 (fails on lost >= 2)"},
		"lost<1, p50<1ms":     {"tcp new: lost is 0 (fails on lost<1)"},
		"p99.9>50ms":          {"tcp new: p99.9 is 100 ms (fails on p99.9>50ms)", "http new: p99.9 is 99.0 ms (fails on p99.9>50ms)"},
		"upgrading.p50>0ms":   {"http new: upgrading p50 is 49.0 ms (fails on upgrading.p50>0ms)"},
		"steady.p50>0.001s":   {"tcp new: steady p50 is 50.0 ms (fails on steady.p50>0.001s)"},
		"stall>1s, max>200ms": {"http new: stall is 1,500 ms (fails on stall>1s)"},
		"void,interrupted":    {"the run is void (fails on void)"},
		"failed-upgrades>0":   {"the run: failed-upgrades is 2 (fails on failed-upgrades>0)"},
		"loss-bound>0.5%":     {"http new: loss-bound is 7.8e-3 (fails on loss-bound>0.5%)"},
		"loss-bound>8e-3":     nil,
		"lag>100us":           {"http new: lag is 0.20 ms (fails on lag>100us)"},
	} {
		c, err := ParseConditions(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := c.Met(r); !slices.Equal(got, want) {
			t.Errorf("%s:\n%s\nwant\n%s", text, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

func TestConditionsRefuse(t *testing.T) {
	for text, want := range map[string]string{
		"":                 `condition "": give a name`,
		"lost>0,":          `condition "": give a name`,
		"lost":             `say how much is too much, as "lost>0"`,
		"lost=0":           "give a name, a comparison",
		"lost>many":        `"many" is no number`,
		"lost>-1":          `"-1" is no number`,
		"lost>NaN":         `"NaN" is no number`,
		"lost>1%":          `"1%" is no number`,
		"p99>50":           "give one with its unit, as 50ms",
		"p99":              `as "p99>50ms"`,
		"p>5ms":            "between p0 and p100",
		"p0>5ms":           "between p0 and p100",
		"p100>5ms":         "between p0 and p100",
		"p9.9.9>5ms":       "between p0 and p100",
		"void>0":           `"void" stands alone`,
		"upgrading.max>1s": "only quantiles",
		"happiness<1":      `there is no "happiness"; there are quantiles such as p99.9, and lost,`,
	} {
		if _, err := ParseConditions(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// Only those that a run without upgrades passes whatever it loses, or waits for.
func TestConditionsOfUpgrades(t *testing.T) {
	c, err := ParseConditions("upgrading.p99>1s, steady.p50>1s, p99>1s, lost>0, failed-upgrades>0, upgrading.p50 > 1ms")
	if err != nil {
		t.Fatal(err)
	}
	if got := c.OfUpgrades(); !slices.Equal(got, []string{"upgrading.p99>1s", "upgrading.p50 > 1ms"}) {
		t.Errorf("%q", got)
	}
	if got := c[1:5].OfUpgrades(); got != nil {
		t.Errorf("%q", got)
	}
}

// Nobody should have to read Go to write a condition.
func TestConditionsAreInTheManual(t *testing.T) {
	text, err := os.ReadFile("../docs/bench.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(Quantities(), "upgrading.p99", "steady.p99") {
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("docs/bench.md has no `%s`", name)
		}
	}
}

func FuzzParseConditions(f *testing.F) {
	f.Add("lost>0, p99.9>50ms, stall>1s, void")
	f.Add("steady.p50>=1e-3s,loss-bound<0.1%")
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := ParseConditions(text); err == nil {
			c.Met(Report{Lanes: []LaneReport{{Name: "a"}}})
		}
	})
}
