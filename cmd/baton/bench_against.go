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
	Markdown string        `placeholder:"FILE" help:"Write the table in Markdown."`

	peers []against.Peer
}

func (f *againstFlags) validate(*benchCmd) error {
	if f.Against == nil {
		if f.Drain != 0 || f.Markdown != "" {
			return errors.New("--drain, --markdown: they belong to --against")
		}
		return nil
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
	var markdown io.WriteCloser
	if path := b.Comparison.Markdown; path != "" {
		if markdown, err = os.Create(path); err != nil {
			return fmt.Errorf("--markdown: %w", err)
		}
		defer func() { err = errors.Join(err, markdown.Close()) }()
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
	if f := out.files["json"]; f != nil {
		if err := against.WriteJSON(f, outcomes); err != nil {
			return fmt.Errorf("--json: %w", err)
		}
	}
	if markdown != nil {
		if err := against.Markdown(markdown, outcomes); err != nil {
			return fmt.Errorf("--markdown: %w", err)
		}
	}
	fmt.Fprintln(out.people)
	return against.Table(out.people, outcomes)
}

// refused is how long an upgrade may take in a comparison: some peers refuse one without a word while they drain.
const refused = 5 * time.Second
