package tlsreload

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-multierror"
)

// settle is between the two reads that have to agree, where somebody may be writing.
const settle = 10 * time.Millisecond

// round looks at every source once, or twice where something is new and may be half-written, and serves what is good of
// it. It returns what is not.
func (r *Reloader) round(ctx context.Context) error {
	r.rounds.Lock()
	defer r.rounds.Unlock()
	found := r.look(ctx)
	if found.rest == unsure {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(settle):
		}
	}
	if found.rest != inMemory {
		found.agree(r.look(ctx))
	}
	if ctx.Err() != nil { // what was read is incomplete
		return ctx.Err()
	}
	now := time.Now()
	next := r.accept(found, now)
	changed := r.publish(found, next, now)
	r.note(found, changed, now)
	return together(found.problems)
}

// findings are what a look at the sources found.
type findings struct {
	offers   map[slot]*offer
	orders   [][]slot         // what each source has
	problems map[string]error // by name: why something is refused
	warnings map[string]error // what an operator should know, and keeps nothing from being served
	rest     rest             // of what is not as it was accepted
}

func (f *findings) problem(name string, err error) { f.problems[name] = err }
func (f *findings) warn(name string, err error)    { f.warnings[name] = err }

// look reads every source.
func (r *Reloader) look(ctx context.Context) *findings {
	f := &findings{
		offers: make(map[slot]*offer), orders: slices.Clone(r.orders),
		problems: make(map[string]error), warnings: make(map[string]error), rest: inMemory,
	}
	for i, s := range r.opts.Sources {
		source := fmt.Sprintf("source %d", i+1)
		c, err := s.Load(ctx)
		if err != nil {
			f.problem(source, err)
			continue
		}
		f.orders[i] = nil
		for at, o := range c.offers() {
			switch {
			case at.name == "":
				f.problem(source, errNoName)
				continue
			case f.offers[at] != nil:
				f.problem(source, fmt.Errorf("%s is there twice", at.name))
				continue
			}
			f.offers[at] = o
			f.orders[i] = append(f.orders[i], at)
			if was := r.served[at]; was == nil || was.sum() != o.digest {
				f.rest = min(f.rest, c.rest)
			}
		}
	}
	return f
}

// agree takes what a second look found, but for what it did not find again as it was.
func (f *findings) agree(second *findings) {
	first := f.offers
	*f = *second
	for at, o := range f.offers {
		o.unsteady = first[at] == nil || first[at].digest != o.digest
	}
}

// note takes down how the round went.
func (r *Reloader) note(f *findings, changed bool, now time.Time) {
	found := maps.Clone(f.problems)
	maps.Copy(found, f.warnings)
	for name, err := range found {
		was := r.issues[name]
		if was == nil || was.Text != err.Error() {
			r.issues[name] = &issue{
				Problem: Problem{Name: name, Text: err.Error(), Since: now}, refused: f.problems[name] != nil,
				heard: was != nil && was.heard,
			}
		}
	}
	var standing []Problem
	for name, i := range r.issues {
		if found[name] != nil {
			standing = append(standing, i.Problem)
			continue
		}
		delete(r.issues, name)
		if i.heard {
			r.opts.Logger.Info("TLS: good again", "name", name)
		}
	}
	slices.SortFunc(standing, func(a, b Problem) int { return strings.Compare(a.Name, b.Name) })
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status.Problems = standing
	switch {
	case len(f.problems) > 0:
		r.status.Reloads.Refused++
		r.status.LastFailure, r.status.LastError = now, together(f.problems).Error()
	case changed:
		r.status.Reloads.Changed++
		r.status.LastSuccess = now
	default:
		r.status.Reloads.Unchanged++
		r.status.LastSuccess = now
	}
}

// together joins what is wrong, in the order of names.
func together(problems map[string]error) error {
	errs := &multierror.Error{ErrorFormat: oneLine}
	for _, name := range slices.Sorted(maps.Keys(problems)) {
		errs = multierror.Append(errs, fmt.Errorf("%s: %w", name, problems[name]))
	}
	return errs.ErrorOrNil()
}

func oneLine(errs []error) string {
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}
