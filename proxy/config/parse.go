package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// The limits of what is read. The YAML library's time and memory grow with the square of the nesting, so that a small
// file could stop a proxy that reloads it.
const (
	maxBytes   = 1 << 20
	maxNesting = 32
	maxValues  = 100_000
)

// Load reads the file at path. Its error holds every mistake in it (see [Mistakes]), or says why it cannot be read.
func Load(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return Parse(path, text)
}

// Parse is Load for a text that was read from file: mistakes name it, and relative paths are relative to its folder.
func Parse(file string, text []byte) (*Config, error) {
	abs, err := filepath.Abs(file)
	if err != nil {
		return nil, fmt.Errorf("find the configuration's folder: %w", err)
	}
	d := &decoder{file: file, folder: filepath.Dir(abs), left: maxValues}
	body, mistake := d.read(text)
	if mistake != nil {
		return nil, joined([]*Mistake{mistake})
	}
	d.places = places{"": {file: file, line: 1, column: 1}}
	d.anchors = anchorsOf(body)
	c := new(Config)
	setDefaults(c)
	d.value(body, "", "", reflect.ValueOf(c).Elem())
	v := &validator{c: c, places: d.places, bad: d.bad}
	v.all()
	if err := joined(append(d.mistakes, v.mistakes...)); err != nil {
		return nil, err
	}
	c.places = d.places
	return c, nil
}

// read is the text as a tree, or the mistake that keeps it from being one.
func (d *decoder) read(text []byte) (body ast.Node, mistake *Mistake) {
	at := func(line, column int, text string) *Mistake {
		return &Mistake{File: d.file, Line: max(line, 1), Column: max(column, 1), Text: text}
	}
	if len(text) > maxBytes {
		return nil, at(1, 1, fmt.Sprintf("has more than %d bytes: this is no configuration", maxBytes))
	}
	for n, line := range strings.Split(string(text), "\n") {
		if i := badCharacter(line); i >= 0 {
			column := utf8.RuneCountInString(line[:i]) + 1
			return nil, at(n+1, column, "holds a control character, or a byte that is not UTF-8: save the file as UTF-8 text")
		}
	}
	// A parser that panics must not end a proxy that reads its file anew.
	defer func() {
		if p := recover(); p != nil {
			body, mistake = nil, at(1, 1, fmt.Sprintf("cannot be read as YAML: %v", p))
		}
	}()
	tokens := tokenize(string(text))
	if t := tooDeep(tokens); t != nil {
		why := fmt.Sprintf("nests more than %d deep: this is no configuration", maxNesting)
		return nil, at(t.Position.Line, t.Position.Column, why)
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		line, column, why := syntaxError(err, text)
		return nil, at(line, column, why)
	}
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil:
		case doc.Body.Type() == ast.DirectiveType:
			line, column := position(doc.Body)
			return nil, at(line, column, "is a YAML directive: leave it out")
		case body != nil:
			line, column := position(doc.Body)
			return nil, at(line, column, "begins a second document: keep one, and leave the line --- above out")
		default:
			body = doc.Body
		}
	}
	if body == nil {
		return nil, at(1, 1, "is empty: give listeners and upstreams")
	}
	return body, nil
}

// badCharacter is the index of the first byte in line that YAML does not allow, or -1. A carriage return alone is one:
// YAML begins a line after it, and many an editor does not.
func badCharacter(line string) int {
	for i, r := range line {
		if r < ' ' && r != '\t' && (r != '\r' || i+1 < len(line)) || r == 0x7f {
			return i
		}
		if r == utf8.RuneError && !strings.HasPrefix(line[i:], string(utf8.RuneError)) {
			return i
		}
	}
	return -1
}

// tooDeep is the token at which lists and groups nest deeper than any configuration does, or nil. Nesting by
// indentation is not counted: it costs a line and its spaces each time.
func tooDeep(tokens token.Tokens) *token.Token {
	brackets, dashes := 0, 0
	for _, t := range tokens {
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			brackets++
		case token.SequenceEndType, token.MappingEndType:
			brackets--
		}
		switch t.Type {
		case token.SequenceEntryType, token.MappingKeyType:
			dashes++
		default:
			dashes = 0
		}
		if max(brackets, dashes) > maxNesting {
			return t
		}
	}
	return nil
}

// syntaxError says where text stops being YAML, and why.
func syntaxError(err error, text []byte) (line, column int, why string) {
	why = "is no YAML: " + err.Error()
	var e yaml.Error
	if !errors.As(err, &e) {
		return 1, 1, why
	}
	why = "is no YAML: " + advice(e.GetMessage())
	t := e.GetToken()
	if t == nil || t.Position == nil {
		return 1, 1, why
	}
	// The library counts on past the end of a text that ends too early.
	lines := strings.Split(string(text), "\n")
	line = min(max(t.Position.Line, 1), len(lines))
	if indent := lines[line-1]; strings.Contains(indent[:len(indent)-len(strings.TrimLeft(indent, " \t"))], "\t") {
		return line, strings.Index(indent, "\t") + 1, "is indented by a tab: use spaces"
	}
	return line, t.Position.Column, why
}

// advice is what to do about the library's commonest messages, which speak to those who know YAML's grammar.
func advice(message string) string {
	for _, known := range []struct{ says, means string }{
		{"could not find end character", "a text in quotes has no end: add the quote that closes it"},
		{"sequence end token ']' not found", "a list has no end: add the ] that closes it"},
		{"',' or ']' must be specified", "a list has no end: add the ] that closes it, or a comma between its elements"},
		{"could not find flow map", "a group has no end: add the } that closes it"},
		{"',' or '}' must be specified", "a group has no end: add the } that closes it, or a comma between its keys"},
		{"unexpected key name", "this is no KEY: VALUE: put a space after the colon"},
		{"non-map value is specified", "this is no KEY: VALUE: put a colon and a space after the key"},
		{"mapping value is not allowed", "a value holds a colon, or the line below is indented further: " +
			"put the value in quotes, or mend the indentation"},
		{"map key-value is pre-defined", "something follows a value: look for a quote that does not close above"},
		{"value is not allowed in this context", "no value can stand here: mend the indentation, or put text in quotes"},
		{"is a reserved character", message + ": put the value in quotes"},
		{"invalid key for this map", "a key is one word: leave the question mark out"},
	} {
		if strings.Contains(message, known.says) {
			return known.means
		}
	}
	return message
}
