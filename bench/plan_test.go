package bench

import (
	"context"
	"strings"
	"testing"
	"time"
)

// fake is a lane without a server.
type fake struct {
	name       string
	persistent bool
	probe      error
	do         func(seq int64, deadline time.Time) Result
}

func (f fake) Name() string                          { return f.name }
func (f fake) Persistent() bool                      { return f.persistent }
func (f fake) Probe(context.Context) (string, error) { return "", f.probe }
func (f fake) Client(context.Context, int) Client    { return f }
func (f fake) Close()                                {}

func (f fake) Do(seq int64, deadline time.Time) Result {
	if f.do == nil {
		return Result{Failure: Failure{Class: OK}}
	}
	return f.do(seq, deadline)
}

func TestPlanIsChecked(t *testing.T) {
	lanes := []Lane{fake{name: "a"}, fake{name: "b"}}
	trigger := func(context.Context) error { return nil }
	for want, plan := range map[string]Plan{
		"no lanes":                   {},
		"two lanes of one name":      {Lanes: append(lanes, lanes[0])},
		"a number is negative":       {Lanes: lanes, Rate: -1},
		"a duration is negative":     {Lanes: lanes, Timeout: -1},
		"there must be at least one": {Lanes: lanes, Upgrades: &Upgrades{Trigger: trigger}},
		"without a trigger":          {Lanes: lanes, Upgrades: &Upgrades{Count: 1}},
		"upgrades: a duration":       {Lanes: lanes, Upgrades: &Upgrades{Count: 1, Trigger: trigger, Interval: -1}},
		"pidfile:": {Lanes: lanes, Upgrades: &Upgrades{Count: 1, Trigger: trigger,
			PIDFile: t.TempDir() + "/none"}},
	} {
		if _, err := Run(t.Context(), plan); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
