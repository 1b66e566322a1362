package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// decoder fills a Config from a YAML tree. Unlike the library's own, it goes on after a mistake.
type decoder struct {
	file, folder string
	anchors      map[*ast.AliasNode]ast.Node
	left         int // how many more values may be read

	places   places
	bad      map[string]bool // paths whose mistake has been told
	mistakes []*Mistake
	entries  map[*ast.MappingNode][]entry
}

func (d *decoder) say(n ast.Node, path, format string, args ...any) {
	line, column := position(n)
	d.mistakes = append(d.mistakes, &Mistake{File: d.file, Line: line, Column: column, Path: path,
		Text: fmt.Sprintf(format, args...)})
	if d.bad == nil {
		d.bad = make(map[string]bool)
	}
	d.bad[path] = true
}

// value reads n into what into refers to. path is as people write it (listeners[2].name), pattern as rules name it
// (listeners[].name).
func (d *decoder) value(n ast.Node, path, pattern string, into reflect.Value) {
	if d.left--; d.left == 0 {
		d.say(n, path, "is one of more than %d values, aliases followed: this is no configuration", maxValues)
	}
	if d.left <= 0 {
		return
	}
	n = d.resolve(n, path)
	if n == nil {
		return
	}
	line, column := position(n)
	if path != "" {
		d.places[path] = place{file: d.file, line: line, column: column}
	}
	r := rules[pattern]
	if n.Type() == ast.NullType {
		if r.hint == "" {
			r.hint = "leave the key out"
			if strings.HasSuffix(path, "]") {
				r.hint = "leave the element out"
			}
		}
		d.say(n, path, "has no value: %s", r.hint)
		return
	}
	switch {
	case into.Kind() == reflect.Pointer:
		into.Set(reflect.New(into.Type().Elem()))
		setDefaults(into.Interface())
		d.value(n, path, pattern, into.Elem())
	case into.Kind() == reflect.Struct && into.Type() != prefixType:
		d.group(n, path, pattern, into)
	case into.Kind() == reflect.Map:
		d.named(n, path, pattern, into)
	case into.Kind() == reflect.Slice:
		d.list(n, path, pattern, into)
	default:
		d.scalar(n, path, r, into)
	}
}

// group reads the keys of a struct.
func (d *decoder) group(n ast.Node, path, pattern string, into reflect.Value) {
	entries, ok := d.mapping(n, path)
	if !ok {
		return
	}
	fields := fieldsOf(into.Type())
	given := make(map[string]bool)
	for _, e := range entries {
		given[e.name] = true
		index, known := fields[e.name]
		if !known {
			keys := slices.Sorted(maps.Keys(fields))
			given[nearest(e.name, keys)] = true // it is misspelt, not missing
			d.say(e.key, join(path, e.name), "is no key here: %s", suggestion(e.name, keys))
			continue
		}
		d.value(e.value, join(path, e.name), join(pattern, e.name), into.Field(index))
		d.atKey(e, join(path, e.name))
	}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		if r := rules[join(pattern, key)]; r.required && !given[key] {
			d.say(n, join(path, key), "is missing: %s", r.hint)
		}
	}
}

// named reads a group whose keys the operator chooses.
func (d *decoder) named(n ast.Node, path, pattern string, into reflect.Value) {
	entries, ok := d.mapping(n, path)
	if !ok {
		return
	}
	if r := rules[pattern]; r.required && len(entries) == 0 {
		d.say(n, path, "is empty: %s", r.hint)
		return
	}
	into.Set(reflect.MakeMap(into.Type()))
	for _, e := range entries {
		at := join(path, e.name)
		if _, problem := nameText("", e.name); problem != "" {
			d.say(e.key, at, "%s", problem)
		}
		element := reflect.New(into.Type().Elem())
		setDefaults(element.Interface())
		d.value(e.value, at, pattern+".*", element.Elem())
		line, column := position(e.key)
		d.places[at] = place{file: d.file, line: line, column: column}
		into.SetMapIndex(reflect.ValueOf(e.name), element.Elem())
	}
}

// atKey makes the key the place of a value that begins on another line: what is wrong with a whole group or list is
// looked for there.
func (d *decoder) atKey(e entry, path string) {
	line, column := position(e.key)
	if d.places[path].line != line {
		d.places[path] = place{file: d.file, line: line, column: column}
	}
}

// list reads a slice. An element with a mistake stays in it, so that the others keep their index.
func (d *decoder) list(n ast.Node, path, pattern string, into reflect.Value) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.say(n, path, "is no list: write %s", listExample(n, into.Type().Elem()))
		return
	}
	if r := rules[pattern]; r.required && len(seq.Values) == 0 {
		d.say(n, path, "is empty: %s", r.hint)
		return
	}
	into.Set(reflect.MakeSlice(into.Type(), len(seq.Values), len(seq.Values)))
	for i, element := range seq.Values {
		setDefaults(into.Index(i).Addr().Interface())
		d.value(element, fmt.Sprintf("%s[%d]", path, i), pattern+"[]", into.Index(i))
	}
}

func listExample(n ast.Node, element reflect.Type) string {
	if s, ok := scalarText(n); ok && element.Kind() != reflect.Struct {
		return fmt.Sprintf("[%q]", s)
	}
	return "each element on a line of its own that begins with -"
}

func (d *decoder) scalar(n ast.Node, path string, r rule, into reflect.Value) {
	s, ok := scalarText(n)
	if !ok {
		d.say(n, path, "is not one value: give %s", kindOf(into.Type()))
		return
	}
	if problem := r.set(d.folder, s, n, into); problem != "" {
		d.say(n, path, "%s", problem)
	}
}

// fieldsOf are a struct's fields by the key that the file has for them.
func fieldsOf(t reflect.Type) map[string]int {
	fields := make(map[string]int)
	for i := range t.NumField() {
		if key := t.Field(i).Tag.Get("yaml"); key != "" {
			fields[key] = i
		}
	}
	return fields
}

func join(path, key string) string { return strings.TrimPrefix(path+"."+key, ".") }
