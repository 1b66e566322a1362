package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/seed-e3b9a99f/baton/bench"
)

// chosenLanes makes the lanes of these names: those by default if there is none, and for all, every one that the targets
// allow.
func chosenLanes(names []string, at bench.Targets) (lanes []bench.Lane, err error) {
	there := map[bench.Needs]bool{bench.NeedsHTTP: at.HTTP != nil, bench.NeedsHTTPS: at.HTTPS != nil, bench.NeedsTCP: at.TCP != ""}
	if all := wantsAll(names); all || len(names) == 0 {
		names = nil
		for _, l := range bench.Lanes() {
			if there[l.Needs] && (all || l.Default) {
				names = append(names, l.Name)
			}
		}
	}
	var errs []error
	for _, name := range names {
		lane, err := bench.NewLane(name, at)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		lanes = append(lanes, lane)
	}
	return lanes, errors.Join(errs...)
}

func wantsAll(names []string) bool { return slices.Equal(names, []string{"all"}) }

// possibleLanes leaves out those that the server does not serve, such as WebSockets, and says so. If it serves none of
// them, the reason is another one.
func possibleLanes(ctx context.Context, lanes []bench.Lane, people io.Writer) (possible []bench.Lane, err error) {
	var why []error
	for _, l := range lanes {
		if _, err := l.Probe(ctx); err != nil {
			why = append(why, err)
			continue
		}
		possible = append(possible, l)
	}
	if len(possible) == 0 {
		return nil, why[0]
	}
	for _, err := range why {
		fmt.Fprintf(people, "left out: %v\n", err)
	}
	return possible, nil
}

// overTLS reports whether any of the lanes is for the HTTPS target.
func overTLS(lanes []bench.Lane) bool {
	kinds := bench.Lanes()
	return slices.ContainsFunc(lanes, func(l bench.Lane) bool {
		name := strings.ReplaceAll(l.Name(), " ", "-")
		return slices.ContainsFunc(kinds, func(k bench.LaneInfo) bool { return k.Name == name && k.Needs == bench.NeedsHTTPS })
	})
}

func listLanes(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, l := range bench.Lanes() {
		mark := " "
		if l.Default {
			mark = "*"
		}
		fmt.Fprintf(t, "%s %s\t%s\n", mark, l.Name, l.Help)
	}
	fmt.Fprintln(t, "\n* by default, where there is such a target")
	return t.Flush()
}
