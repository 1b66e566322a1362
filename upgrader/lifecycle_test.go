package upgrader

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The golden table is what a reviewer reads: a change to any of its cells has to be meant.
func TestVerdictsAreAllDecided(t *testing.T) {
	var b strings.Builder
	for p := range phases {
		fmt.Fprintf(&b, "%s\n", p)
		for e := range events {
			v := verdicts[p][e]
			if v.verb == 0 {
				t.Errorf("%v in %v: not decided", e, p)
			}
			if v.verb != move && v.to != 0 {
				t.Errorf("%v in %v: a phase to go to, but no move", e, p)
			}
			fmt.Fprintf(&b, "\t%-14s %s\n", e, v)
		}
	}
	golden := filepath.Join("testdata", "verdicts.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.String(); got != string(want) {
		t.Errorf("verdicts differ from %s; if that is meant, run go test -run %s -update\n%s", golden, t.Name(), got)
	}
}

func (v verdict) String() string {
	if v.verb == move {
		return "to " + v.to.String()
	}
	return [...]string{"undecided", "never", "drop", "move", "later", "pass", "refuse", "kill"}[v.verb]
}

// Some cells follow from what Baton promises; they hold whatever the table looks like.
func TestVerdictsKeepThePromises(t *testing.T) {
	for p := range phases {
		row := verdicts[p]
		if v := row[evForce]; v.verb != move && p != Exited || v.verb == move && v.to != Exited {
			t.Errorf("%v: a second signal must end the process at once, not %v", p, v)
		}
		if v := row[evUpgrade]; v.verb == drop || v.verb == never {
			t.Errorf("%v: an upgrade is lost", p)
		}
		if v := row[evStop]; v.verb == never || v.verb == drop && p != Stopping {
			t.Errorf("%v: a stop is lost", p)
		}
		parent := p >= Starting && p <= HandingOver
		if v := row[evChildGone]; parent && (v.verb != move || v.to != Serving) {
			t.Errorf("%v: the service is lost with the child: %v", p, v)
		}
		ready := p == Announced || p == OnProbation
		if v := row[evParentGone]; ready && (v.verb != move || v.to != TakingOver) {
			t.Errorf("%v: a ready child does not take over from a dead parent: %v", p, v)
		}
		if v := row[evTimeout]; v.verb == move && v.to == p {
			t.Errorf("%v: a timeout that leads nowhere", p)
		}
		if _, bounded := (&Options{}).timeout(p); bounded && row[evTimeout].verb == never {
			t.Errorf("%v: bounded in time, and its timeout cannot happen", p)
		}
	}
	for _, p := range []Phase{Committing, HandingOver} { // who owns the service is open
		if v := verdicts[p][evStop]; v.verb != later {
			t.Errorf("%v: a stop must wait for the owner, not %v", p, v)
		}
	}
}

func TestPhasesHaveNames(t *testing.T) {
	seen := make(map[string]bool)
	for p := range phases + 1 {
		if s := p.String(); s == "" || seen[s] {
			t.Errorf("phase %d is called %q", p, s)
		} else {
			seen[s] = true
		}
	}
}
