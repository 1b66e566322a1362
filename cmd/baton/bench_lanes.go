package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/seed-e3b9a99f/baton/bench"
)

// chosenLanes makes the lanes of these names: those by default if there is none, and for all, every one that the targets
// allow.
func chosenLanes(names []string, at bench.Targets) (lanes []bench.Lane, err error) {
	there := map[bench.Needs]bool{bench.NeedsHTTP: at.HTTP != nil, bench.NeedsHTTPS: at.HTTPS != nil, bench.NeedsTCP: at.TCP != ""}
	if len(names) == 0 || slices.Equal(names, []string{"all"}) {
		all := len(names) > 0
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
