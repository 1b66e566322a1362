package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/go-multierror"
)

// Mistake is one thing that is wrong with a configuration, and what to do about it.
type Mistake struct {
	File   string // as it was given to Load or Parse; the flag and its number for FromFlags
	Line   int    // from 1; 0 where there is no file
	Column int    // from 1, in characters
	Path   string // of the key, such as listeners[2].tls.certificates[0].cert; empty for the file as a whole
	Text   string // what is wrong, and what to write instead
}

// Error is the mistake on one line: "baton.yaml:12:15: listeners[2].protocol: what is wrong: what to do".
func (m *Mistake) Error() string {
	where := m.File
	if m.Line > 0 {
		where = fmt.Sprintf("%s:%d:%d", m.File, m.Line, m.Column)
	}
	var parts []string
	for _, part := range []string{where, m.Path, m.Text} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ": ")
}

// Mistakes are all the mistakes that an error of this package holds, in the order of their places in the file. It is
// empty for an error of another kind, such as that the file cannot be read.
func Mistakes(err error) []*Mistake {
	var several *multierror.Error
	if !errors.As(err, &several) {
		return nil
	}
	var all []*Mistake
	for _, err := range several.Errors {
		if m, ok := errors.AsType[*Mistake](err); ok {
			all = append(all, m)
		}
	}
	return all
}

// place is where something was written.
type place struct {
	file         string
	line, column int
	path         string // what to call it, where that is not its path in the configuration
}

func (p place) mistake(path, text string) *Mistake {
	if p.path != "" {
		path = p.path
	}
	return &Mistake{File: p.file, Line: p.line, Column: p.column, Path: path, Text: text}
}

// places are those of all values that were written, by path. The empty path is the file itself.
type places map[string]place

// of is the place of a path or, where nothing was written there, of the nearest thing around it.
func (ps places) of(path string) place {
	for {
		if p, ok := ps[path]; ok || path == "" {
			return p
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
}

// has says whether path was written.
func (ps places) has(path string) bool {
	_, ok := ps[path]
	return ok
}

// joined is all mistakes as one error, in the order of their places; nil where there are none.
func joined(mistakes []*Mistake) error {
	if len(mistakes) == 0 {
		return nil
	}
	slices.SortStableFunc(mistakes, func(a, b *Mistake) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	all := &multierror.Error{ErrorFormat: func(errs []error) string {
		lines := make([]string, len(errs))
		for i, err := range errs {
			lines[i] = err.Error()
		}
		return strings.Join(lines, "\n")
	}}
	for _, m := range mistakes {
		all.Errors = append(all.Errors, m)
	}
	return all
}

// anyOf is "a, b or c".
func anyOf(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
