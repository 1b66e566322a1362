package against

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/seed-e3b9a99f/baton/bench"
)

// Run runs one peer after the other: starts it, carries out plan's plan, and stops it. A peer that is missing, or goes
// wrong, does not keep the others from their turn. progress gets a line now and then; it may be nil. When ctx ends
// early, Run returns what there is so far, with ctx's error.
//
// The program must call [Reexec] first of all.
func Run(
	ctx context.Context, peers []Peer, o Options, plan func(*Running) (bench.Plan, error), progress func(line string),
) (outcomes []Outcome, err error) {
	if progress == nil {
		progress = func(string) {}
	}
	dir, err := os.MkdirTemp("", "baton-against-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	// nginx's workers are another user's.
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	for _, p := range peers {
		outcome := Outcome{Peer: p.Name, What: p.What, Setup: p.Setup, Drain: o.Drain.Seconds()}
		progress(p.Name + ": " + p.What)
		err := p.run(ctx, dir, o, plan, &outcome)
		if ctx.Err() != nil {
			return outcomes, context.Cause(ctx)
		}
		var missing *Missing
		switch {
		case errors.As(err, &missing):
			outcome.Skipped = missing.Error()
			progress(p.Name + ": skipped: " + outcome.Skipped)
		case err != nil:
			outcome.Error = err.Error()
			progress(p.Name + ": " + outcome.Error)
		}
		if outcome.Report != nil {
			progress(p.Name + ": " + outcome.Report.Verdict.Line)
		}
		outcomes = append(outcomes, outcome)
	}
	return outcomes, nil
}

func (p Peer) run(
	ctx context.Context, dir string, o Options, plan func(*Running) (bench.Plan, error), outcome *Outcome,
) (err error) {
	r, err := p.Start(ctx, dir, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Stop()) }()
	todo, err := plan(r)
	if err != nil {
		return fmt.Errorf("plan for %s: %w", p.Name, err)
	}
	outcome.Processes = r.Processes()
	outcome.Most = outcome.Processes
	tell := todo.Progress
	todo.Progress = func(now bench.Progress) {
		outcome.Most = max(outcome.Most, r.Processes())
		if tell != nil {
			tell(now)
		}
	}
	report, err := bench.Run(ctx, todo)
	if err != nil {
		return fmt.Errorf("drive %s: %w", p.Name, err)
	}
	outcome.Report = &report
	return nil
}
