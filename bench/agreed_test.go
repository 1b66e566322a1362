package bench

import (
	"context"
	"strings"
	"testing"
	"time"
)

func TestRunsAgreeOnTheirStart(t *testing.T) {
	closed := 0
	lane := closing{fake{name: "a", persistent: true}, &closed}
	plan := Plan{Lanes: []Lane{lane}, Rate: 1000, Conns: 2, Duration: 20 * time.Millisecond, StartAt: time.Now().Add(-time.Minute)}
	if _, err := Run(t.Context(), plan); err == nil || !strings.Contains(err.Error(), "agree on a later one") {
		t.Errorf("a start that is over: %v", err)
	}
	if closed != 2 {
		t.Errorf("%d connections closed, want 2", closed)
	}
	plan.StartAt = time.Now().Add(100 * time.Millisecond).Round(time.Millisecond)
	plan.Lanes = []Lane{fake{name: "a"}}
	report, err := Run(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	if !report.Started.Equal(plan.StartAt) || time.Now().Before(plan.StartAt) {
		t.Errorf("began at %v, want %v", report.Started, plan.StartAt)
	}
	if l := report.Lanes[0]; l.OK == 0 || l.Series[0].Operations != l.Operations || l.Before.OK != l.OK {
		t.Errorf("%+v", l)
	}
}

func TestWaitingForTheStartEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Run(ctx, Plan{Lanes: []Lane{fake{name: "a"}}, StartAt: time.Now().Add(time.Hour)})
	if err == nil {
		t.Error("a run that was ended before it began has a report")
	}
}

type closing struct {
	fake
	closed *int
}

func (c closing) Client(context.Context, int) Client { return closingClient{c} }

type closingClient struct{ closing }

func (c closingClient) Close() { *c.closed++ }
func (c closingClient) Do(seq int64, deadline time.Time) Result {
	return c.fake.Do(seq, deadline)
}
