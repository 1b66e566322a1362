package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/seed-e3b9a99f/baton/bench"
	"github.com/seed-e3b9a99f/baton/bench/against"
)

// againstFlags ask for a comparison.
type againstFlags struct {
	Against  []string      `placeholder:"PEER" help:"Do the same work against each of these in turn, and print one table: baton, tableflip, endless, grace, overseer, restart, reuseport, nginx, haproxy, caddy, or all."`
	Drain    time.Duration `placeholder:"D" help:"How long a replaced process may finish what it serves; without it, as each peer's manual or example has it."`
	Markdown string        `placeholder:"FILE" help:"Write the table in Markdown; - for standard output."`

	peers []against.Peer
}

func (f *againstFlags) validate(b *benchCmd) error {
	if f.Against == nil {
		if f.Drain != 0 || f.Markdown != "" {
			return errors.New("--drain, --markdown: they belong to --against")
		}
		return nil
	}
	if o := b.Output; o.HTML+o.HDRLog+o.JUnit+o.Benchmarks+o.FailOn != "" {
		return errors.New("--html, --hdr-log, --junit, --benchmarks, --fail-on: they are for one run; --against has --json and --markdown")
	}
	peers, err := against.Select(strings.Join(f.Against, ","))
	if err != nil {
		return fmt.Errorf("--against: %w", err)
	}
	if f.Drain < 0 {
		return errors.New("--drain: give a duration above zero, such as 1s")
	}
	f.peers = peers
	return nil
}

// against runs the plan against each peer.
func (b *benchCmd) against(ctx context.Context, out *output) (err error) {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	options := against.Options{Baton: self, Drain: b.Comparison.Drain}
	outcomes, err := against.Run(ctx, b.Comparison.peers, options, func(r *against.Running) (bench.Plan, error) {
		plan := b.plan
		if plan.Lanes, err = r.Lanes(); err != nil {
			return plan, err
		}
		if b.Upgrades > 0 {
			plan.Upgrades = r.Upgrades(b.Upgrades, b.Interval)
			plan.Upgrades.Timeout = min(b.UpgradeTimeout, refused)
		}
		return plan, nil
	}, func(line string) { fmt.Fprintln(out.people, line) })
	if err != nil {
		return err
	}
	err = errors.Join(
		out.put("json", func(w io.Writer) error { return against.WriteJSON(w, outcomes) }),
		out.put("markdown", func(w io.Writer) error { return against.Markdown(w, outcomes) }))
	fmt.Fprintln(out.people)
	return errors.Join(err, against.Table(out.people, outcomes))
}

// refused is how long an upgrade may take in a comparison: some peers refuse one without a word while they drain.
const refused = 5 * time.Second
