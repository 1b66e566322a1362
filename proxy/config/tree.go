package config

import (
	"github.com/goccy/go-yaml/ast"
)

// entry is one key of a mapping.
type entry struct {
	name       string
	key, value ast.Node
}

// mapping is n's keys, those of merge keys after its own. It reports keys that are given twice.
func (d *decoder) mapping(n ast.Node, path string) ([]entry, bool) {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		d.say(n, path, "is no group of keys: write each as KEY: VALUE")
		return nil, false
	}
	// Kept, since merges of merges of merges would otherwise double each time.
	if entries, ok := d.entries[m]; ok {
		return entries, true
	}
	var entries []entry
	first := make(map[string]ast.Node)
	var merged []ast.Node
	for _, v := range m.Values {
		name, ok := keyText(v.Key)
		if !ok {
			d.say(v.Key, path, "has a key that is no word")
			continue
		}
		if before := first[name]; before != nil {
			line, _ := position(before)
			d.say(v.Key, join(path, name), "is given twice, first on line %d: keep one", line)
			continue
		}
		first[name] = v.Key
		if v.Key.IsMergeKey() {
			merged = append(merged, v.Value)
			continue
		}
		entries = append(entries, entry{name, v.Key, v.Value})
	}
	for _, from := range merged {
		for _, e := range d.merge(from, join(path, "<<")) {
			if first[e.name] == nil {
				first[e.name] = e.key
				entries = append(entries, e)
			}
		}
	}
	if d.entries == nil {
		d.entries = make(map[*ast.MappingNode][]entry)
	}
	d.entries[m] = entries
	return entries, true
}

// merge is the keys that a merge key brings: those of a mapping, or of a list of them, of which the first wins.
func (d *decoder) merge(n ast.Node, path string) []entry {
	if n = d.resolve(n, path); n == nil {
		return nil
	}
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		entries, _ := d.mapping(n, path)
		return entries
	}
	var entries []entry
	for _, one := range seq.Values {
		if one = d.resolve(one, path); one != nil {
			more, _ := d.mapping(one, path)
			entries = append(entries, more...)
		}
	}
	return entries
}

// resolve is what n stands for: an alias's anchor, an anchor's value. It is nil after it has reported a mistake.
func (d *decoder) resolve(n ast.Node, path string) ast.Node {
	for {
		switch m := n.(type) {
		case nil:
			return nil
		case *ast.AnchorNode:
			n = m.Value
		case *ast.AliasNode:
			to, ok := d.anchors[m]
			if !ok {
				d.say(n, path, "*%s refers to no anchor &%[1]s above it: put it in quotes if it is meant as text", nameOf(m.Value))
				return nil
			}
			n = to
		case *ast.TagNode:
			d.say(n, path, "has the tag %s: leave it out", m.Start.Value)
			return nil
		default:
			return n
		}
	}
}

// anchorsOf is what each alias below n refers to: the last anchor of its name that ended before it, so that nothing
// holds itself.
func anchorsOf(n ast.Node) map[*ast.AliasNode]ast.Node {
	found := make(map[*ast.AliasNode]ast.Node)
	named := make(map[string]ast.Node)
	var walk func(ast.Node)
	walk = func(n ast.Node) {
		switch n := n.(type) {
		case *ast.MappingNode:
			for _, v := range n.Values {
				walk(v.Value)
			}
		case *ast.SequenceNode:
			for _, v := range n.Values {
				walk(v)
			}
		case *ast.TagNode:
			walk(n.Value)
		case *ast.AnchorNode:
			walk(n.Value)
			named[nameOf(n.Name)] = n.Value
		case *ast.AliasNode:
			if to, ok := named[nameOf(n.Value)]; ok {
				found[n] = to
			}
		}
	}
	walk(n)
	return found
}

func nameOf(n ast.Node) string {
	if n == nil || n.GetToken() == nil {
		return ""
	}
	return n.GetToken().Value
}

func keyText(n ast.MapKeyNode) (string, bool) {
	if n.IsMergeKey() {
		return "<<", true
	}
	return scalarText(n)
}

// scalarText is a single value as it was written, without its quotes.
func scalarText(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// position is where n begins, line and column from 1.
func position(n ast.Node) (line, column int) {
	switch m := n.(type) {
	case *ast.MappingNode:
		// The library points at the colon after the first key.
		if !m.IsFlowStyle && len(m.Values) > 0 {
			return position(m.Values[0].Key)
		}
	case *ast.AnchorNode:
		if m.Value != nil && m.Value.Type() != ast.NullType {
			return position(m.Value)
		}
	}
	t := n.GetToken()
	if t == nil || t.Position == nil {
		return 1, 1
	}
	return max(t.Position.Line, 1), max(t.Position.Column, 1)
}
