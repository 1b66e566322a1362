package bench

import (
	"strings"
	"testing"
	"time"
)

func TestVerdict(t *testing.T) {
	lane := func(ops, lost, allowed, late, limited int64) LaneReport {
		l := LaneReport{Name: "http new", Operations: ops, Lost: lost, Allowed: allowed, Late: late, ClientLimited: limited, Opened: 60}
		if allowed > 0 {
			l.AllowedBecause = "as it is to be"
		}
		return l
	}
	good := []Upgrade{{Number: 1, Serving: 98.4}, {Number: 2, Serving: 12.6}}
	bad := []Upgrade{{Number: 1, Serving: 10}, {Number: 2, Error: "it died"}, {Number: 3, Error: "it died"}}
	seen := []Upgrade{
		{Number: 1, Serving: 1, SeenBy: SignPIDFile}, {Number: 2, Serving: 2, SeenBy: SignWorkers},
		{Number: 3, Serving: 3, SeenBy: SignPIDFile}, {Number: 4, Serving: 4, SeenBy: SignAnswer},
	}
	mixed := []Upgrade{
		{Number: 1, Serving: 5, Event: &Event{Kind: KindUpgrade}}, {Number: 2, Event: &Event{Kind: KindUpgrade, Fault: FaultExit}},
		{Number: 3, Error: "not served", Event: &Event{Kind: KindRotate}}, {Number: 4, Event: &Event{Kind: KindReload, Effective: 7}},
		{Number: 5, Event: &Event{Kind: KindUpgrade, Fault: FaultHang}},
	}
	for _, c := range []struct {
		name   string
		plan   Plan
		report Report
		pass   bool
		line   string
	}{
		{"pass", Plan{}, Report{Lanes: []LaneReport{lane(47981, 0, 0, 0, 0)}, Upgrades: good}, true,
			"PASS: 0 of 47,981 requests lost across 2 upgrades; new generation serving after 12.6 to 98.4 ms"},
		{"allowed", Plan{}, Report{Lanes: []LaneReport{lane(1000, 50, 50, 0, 0)}}, true,
			"PASS: 0 of 1,000 requests lost; http new: 50 of 60 connections ended, as it is to be"},
		{"lost", Plan{}, Report{Lanes: []LaneReport{lane(1000, 3, 2, 0, 0)}, Upgrades: good[:1]}, false,
			"FAIL: 1 of 1,000 requests lost across 1 upgrade; 1 http new; new generation serving after 98.4 ms; " +
				"http new: 2 of 60 connections ended, as it is to be"},
		{"max lost", Plan{MaxLost: 3}, Report{Lanes: []LaneReport{lane(1000, 3, 0, 0, 0)}}, true,
			"PASS: 3 of 1,000 requests lost (up to 3 allowed); 3 http new"},
		{"failed upgrades", Plan{}, Report{Lanes: []LaneReport{lane(1000, 0, 0, 0, 0)}, Upgrades: bad}, false,
			"FAIL: 0 of 1,000 requests lost across 3 upgrades; upgrade 2 failed: it died (and 1 more); " +
				"new generation serving after 10.0 ms"},
		{"other events", Plan{}, Report{Lanes: []LaneReport{lane(1000, 0, 0, 0, 0)}, Upgrades: mixed}, false,
			"FAIL: 0 of 1,000 requests lost across 1 upgrade, 2 bad upgrades, 1 rotation, 1 reload; rotation 3 failed: not served; " +
				"new generation serving after 5.00 ms"},
		{"late", Plan{}, Report{Lanes: []LaneReport{lane(1000, 0, 0, 7, 4)}}, false,
			"VOID: the client could not keep its schedule (11 of 1,000 requests late by more than 100ms or never sent, " +
				"at most 1 % allowed; lower --rate or free the CPU): 0 of 1,000 requests lost"},
		{"short of CPU", Plan{}, Report{Lanes: []LaneReport{lane(1000, 0, 0, 0, 0)}, ClientWait: 58.72}, false,
			"VOID: the client is short of CPU (it waits up to 58.7 ms for it at every step, at most 20.0 ms allowed; " +
				"lower --rate or free the CPU): 0 of 1,000 requests lost"},
		{"a little short of CPU", Plan{}, Report{Lanes: []LaneReport{lane(1000, 0, 0, 0, 0)}, ClientWait: 20}, true,
			"PASS: 0 of 1,000 requests lost"},
		{"a little late", Plan{}, Report{Lanes: []LaneReport{lane(1000, 0, 0, 6, 4)}}, true,
			"PASS: 0 of 1,000 requests lost"},
		{"behind", Plan{Rate: 10000, Lanes: []Lane{fake{}, fake{}}},
			Report{Lanes: []LaneReport{lane(1000, 0, 0, 0, 0)}, Lag: Latency{P99: 1.01}}, false,
			"VOID: the client fell behind its schedule (99 of 100 requests within 1.01 ms, 1.00 ms asked; lower --rate " +
				"or free the CPU): 0 of 1,000 requests lost"},
		{"not behind", Plan{Rate: 10000, Lanes: []Lane{fake{}, fake{}}},
			Report{Lanes: []LaneReport{lane(1000, 0, 0, 0, 0)}, Lag: Latency{P99: 0.99}}, true, "PASS: 0 of 1,000 requests lost"},
		{"behind at a low rate", Plan{Lanes: []Lane{fake{}}},
			Report{Lanes: []LaneReport{lane(1000, 0, 0, 0, 0)}, Lag: Latency{P99: 15}}, true, "PASS: 0 of 1,000 requests lost"},
		{"behind what was asked", Plan{MaxLag: 5 * time.Millisecond, Lanes: []Lane{fake{}}},
			Report{Lanes: []LaneReport{lane(1000, 0, 0, 0, 0)}, Lag: Latency{P99: 15}}, false,
			"VOID: the client fell behind its schedule (99 of 100 requests within 15.0 ms, 5.00 ms asked; lower --rate " +
				"or free the CPU): 0 of 1,000 requests lost"},
		{"late and lost", Plan{}, Report{Lanes: []LaneReport{lane(1000, 1, 0, 900, 0)}}, false,
			"VOID: the client could not keep its schedule (900 of 1,000 requests late by more than 100ms or never sent, " +
				"at most 1 % allowed; lower --rate or free the CPU): 1 of 1,000 requests lost; 1 http new"},
		{"lost before", Plan{}, Report{Lanes: []LaneReport{lane(1000, 7, 0, 0, 0)}, Upgrades: seen, LostBefore: 5}, false,
			"FAIL: 7 of 1,000 requests lost across 4 upgrades; 7 http new; 5 of them before the first upgrade; " +
				"new process in the pidfile after 1.00 to 3.00 ms; new workers after 2.00 ms; answering after 4.00 ms"},
		{"interrupted by", Plan{}, Report{Lanes: []LaneReport{lane(1000, 0, 0, 0, 0)}, Interrupted: true, InterruptedBy: "terminated"}, false,
			"INTERRUPTED (terminated): 0 of 1,000 requests lost"},
		{"interrupted", Plan{Upgrades: &Upgrades{}}, Report{Lanes: []LaneReport{lane(1000, 0, 0, 0, 0)}, Interrupted: true}, false,
			"INTERRUPTED: 0 of 1,000 requests lost across 0 upgrades"},
		{"nothing", Plan{}, Report{Lanes: []LaneReport{lane(0, 0, 0, 0, 0)}}, false, "FAIL: 0 of 0 requests lost"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := c.plan.withDefaults().judge(c.report)
			if v.Pass != c.pass || v.Line != c.line {
				t.Errorf("pass %v: %s\nwant %v: %s", v.Pass, v.Line, c.pass, c.line)
			}
			if strings.Contains(v.Line, "\n") {
				t.Error("more than one line")
			}
		})
	}
}

// Allowances are for a lane and its classes, and for nothing else.
func TestAllowance(t *testing.T) {
	l := &laneRun{Lane: fake{name: "tcp long"}, recorder: testRecorder(1, time.Second)}
	for class, n := range map[Class]int{ConnectionCut: 5, ResetMidResponse: 2, WrongBytes: 3, ClientFiles: 4} {
		for range n {
			l.recorder.shard(0).record(outcome{Result: Result{Failure: Failure{Class: class}, Err: errUnasked}})
		}
	}
	got := l.summary(l.recorder.total(), []Allowance{
		{Lane: "tcp new", Classes: []Class{WrongBytes}, Because: "never"},
		{Lane: "tcp long", Classes: ConnectionEnded(), Because: "drained"},
	})
	if got.Lost != 10 || got.Allowed != 7 || got.AllowedBecause != "drained" || got.ClientLimited != 4 {
		t.Errorf("%+v", got)
	}
}
