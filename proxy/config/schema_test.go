package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

var update = flag.Bool("update", false, "write the schema anew")

const (
	deploySchema  = "../../deploy/baton.schema.json"
	deployExample = "../../deploy/baton.yaml"
)

func TestSchemaIsWhatTheTypesSay(t *testing.T) {
	want := newSchema(t)
	for _, file := range []string{"schema.json", deploySchema} {
		if *update {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		have, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(have, want) {
			t.Errorf("%s is not what the types say: run go generate ./proxy/config", file)
		}
	}
	if !*update && !bytes.Equal(Schema(), want) {
		t.Error("Schema() is not what the types say")
	}
}

func schemaTree(t *testing.T) map[string]any {
	t.Helper()
	var s map[string]any
	if err := json.Unmarshal(Schema(), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// keysOf are the paths of all keys below a schema, in the patterns that rules have.
func keysOf(s map[string]any, at string, keys map[string]map[string]any) {
	if items, ok := s["items"].(map[string]any); ok {
		keysOf(items, at+"[]", keys)
	}
	if others, ok := s["additionalProperties"].(map[string]any); ok {
		keysOf(others, at+".*", keys)
	}
	properties, _ := s["properties"].(map[string]any)
	for key, sub := range properties {
		keys[join(at, key)] = sub.(map[string]any)
		keysOf(sub.(map[string]any), join(at, key), keys)
	}
}

func typeKeys(t reflect.Type, at string, keys map[string]bool) {
	switch t.Kind() {
	case reflect.Pointer:
		typeKeys(t.Elem(), at, keys)
	case reflect.Slice:
		typeKeys(t.Elem(), at+"[]", keys)
	case reflect.Map:
		typeKeys(t.Elem(), at+".*", keys)
	case reflect.Struct:
		for i := range t.NumField() {
			if key := t.Field(i).Tag.Get("yaml"); key != "" {
				keys[join(at, key)] = true
				typeKeys(t.Field(i).Type, join(at, key), keys)
			}
		}
	}
}

func TestSchemaAndTypesHaveTheSameKeys(t *testing.T) {
	inSchema := make(map[string]map[string]any)
	keysOf(schemaTree(t), "", inSchema)
	inTypes := make(map[string]bool)
	typeKeys(reflect.TypeFor[Config](), "", inTypes)
	for key := range inTypes {
		s, ok := inSchema[key]
		if !ok {
			t.Errorf("the schema lacks %s", key)
		} else if s["description"] == nil {
			t.Errorf("%s has no description: give the field a comment", key)
		}
	}
	for key := range inSchema {
		if !inTypes[key] {
			t.Errorf("the schema has %s, and no type does", key)
		}
	}
	for pattern := range rules {
		if !inTypes[strings.TrimSuffix(strings.TrimSuffix(pattern, "[]"), ".*")] {
			t.Errorf("a rule is for %s, which no type has", pattern)
		}
	}
}

// The constants of a type are the words that its key takes.
func TestEnumerationsAreTheConstants(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	constants := make(map[string][]string)
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if ok && spec.Type != nil && len(spec.Values) == 1 {
			word, _ := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			name := spec.Type.(*ast.Ident).Name
			constants[name] = append(constants[name], word)
		}
		return true
	})
	inSchema := make(map[string]map[string]any)
	keysOf(schemaTree(t), "", inSchema)
	for name, key := range map[string]string{"Protocol": "listeners[].protocol", "Balance": "upstreams.*.balance"} {
		if have := fmt.Sprint(inSchema[key]["enum"]); have != fmt.Sprint(constants[name]) {
			t.Errorf("%s takes %s, and the constants of %s are %s", key, have, name, constants[name])
		}
	}
}

func example(t *testing.T) ([]byte, any) {
	t.Helper()
	text, err := os.ReadFile(deployExample)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	return text, tree
}

func TestExampleIsValid(t *testing.T) {
	text, tree := example(t)
	if _, err := Parse(deployExample, text); err != nil {
		t.Error(err)
	}
	if !bytes.HasPrefix(text, []byte("# yaml-language-server: $schema=")) {
		t.Error("the example's first line does not name the schema for editors")
	}
	for _, problem := range against(schemaTree(t), tree, "") {
		t.Error(problem)
	}
}

func TestExampleNamesEveryKey(t *testing.T) {
	_, tree := example(t)
	used := make(map[string]bool)
	var walk func(v any, at string)
	walk = func(v any, at string) {
		switch v := v.(type) {
		case map[string]any:
			for key, sub := range v {
				if at == "upstreams" {
					key = "*"
				}
				used[join(at, key)] = true
				walk(sub, join(at, key))
			}
		case []any:
			for _, sub := range v {
				walk(sub, at+"[]")
			}
		}
	}
	walk(tree, "")
	keys := make(map[string]bool)
	typeKeys(reflect.TypeFor[Config](), "", keys)
	for key := range keys {
		if !used[key] {
			t.Errorf("the example does not name %s", key)
		}
	}
}

// The validator below must be able to say no.
func TestSchemaRefuses(t *testing.T) {
	for name, change := range map[string]func(map[string]any){
		"unknown key":   func(m map[string]any) { m["listener"] = 1 },
		"missing":       func(m map[string]any) { delete(m, "upstreams") },
		"type":          func(m map[string]any) { m["pid_file"] = 1.0 },
		"enumeration":   func(m map[string]any) { m["log"].(map[string]any)["level"] = "loud" },
		"pattern":       func(m map[string]any) { m["upgrade"].(map[string]any)["probation"] = "soon" },
		"minimum":       func(m map[string]any) { m["upgrade"].(map[string]any)["max_generations"] = uint64(1) },
		"maximum":       func(m map[string]any) { m["log"].(map[string]any)["access"] = 1.5 },
		"an empty list": func(m map[string]any) { m["listeners"] = []any{} },
		"a name's shape": func(m map[string]any) {
			m["upstreams"].(map[string]any)["a b"] = m["upstreams"].(map[string]any)["app"]
		},
	} {
		_, tree := example(t)
		change(tree.(map[string]any))
		if problems := against(schemaTree(t), tree, ""); len(problems) != 1 {
			t.Errorf("%s: %d problems, not 1: %q", name, len(problems), problems)
		}
	}
}

// against holds a value against as much of JSON schema as this one uses.
func against(s map[string]any, v any, at string) (problems []string) {
	say := func(format string, args ...any) { problems = append(problems, at+": "+fmt.Sprintf(format, args...)) }
	if choices, ok := s["anyOf"].([]any); ok {
		if !slices.ContainsFunc(choices, func(c any) bool { return len(against(c.(map[string]any), v, at)) == 0 }) {
			say("%v is none of %v", v, choices)
		}
	}
	if words, ok := s["enum"].([]any); ok && !slices.Contains(words, v) {
		say("%v is not one of %v", v, words)
	}
	if c, ok := s["const"]; ok && fmt.Sprint(c) != fmt.Sprint(v) {
		say("%v is not %v", v, c)
	}
	kind, number := "null", 0.0
	switch v := v.(type) {
	case map[string]any:
		kind = "object"
	case []any:
		kind = "array"
	case string:
		kind = "string"
	case bool:
		kind = "boolean"
	case uint64:
		kind, number = "integer", float64(v)
	case int64:
		kind, number = "integer", float64(v)
	case float64:
		kind, number = "number", v
	}
	if want, ok := s["type"].(string); ok && want != kind && (want != "number" || kind != "integer") {
		say("is a %s, not a %s", kind, want)
		return problems
	}
	if least, ok := s["minimum"].(float64); ok && number < least {
		say("%v is less than %v", v, least)
	}
	if most, ok := s["maximum"].(float64); ok && number > most {
		say("%v is more than %v", v, most)
	}
	if text, ok := v.(string); ok {
		if p, ok := s["pattern"].(string); ok && !regexp.MustCompile(p).MatchString(text) {
			say("%q does not match %s", text, p)
		}
	}
	if list, ok := v.([]any); ok {
		if least, ok := s["minItems"].(float64); ok && len(list) < int(least) {
			say("has %d elements", len(list))
		}
		for i, element := range list {
			problems = append(problems, against(s["items"].(map[string]any), element, fmt.Sprintf("%s[%d]", at, i))...)
		}
	}
	if group, ok := v.(map[string]any); ok {
		problems = append(problems, againstObject(s, group, at)...)
	}
	return problems
}

func againstObject(s, group map[string]any, at string) (problems []string) {
	required, _ := s["required"].([]any)
	for _, key := range required {
		if _, ok := group[key.(string)]; !ok {
			problems = append(problems, join(at, key.(string))+": is missing")
		}
	}
	properties, _ := s["properties"].(map[string]any)
	for key, v := range group {
		if names, ok := s["propertyNames"].(map[string]any); ok {
			problems = append(problems, against(names, key, at)...)
		}
		sub, ok := properties[key].(map[string]any)
		if !ok {
			sub, ok = s["additionalProperties"].(map[string]any)
		}
		if !ok {
			problems = append(problems, join(at, key)+": is unknown")
			continue
		}
		problems = append(problems, against(sub, v, join(at, key))...)
	}
	return problems
}
