package config

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const durationPattern = `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`

// writer makes the schema from the types, their comments, the rules and the defaults.
type writer struct {
	docs map[string]string // by "Type" and "Type.Field"
}

func newSchema(t *testing.T) []byte {
	t.Helper()
	w := writer{docs: docsOf(t)}
	root := w.object(reflect.TypeFor[Config](), "")
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "The configuration of baton proxy"
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(text, '\n')
}

// docsOf are the comments of config.go.
func docsOf(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	docs := make(map[string]string)
	for _, decl := range file.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.TYPE {
			continue
		}
		spec := gen.Specs[0].(*ast.TypeSpec)
		docs[spec.Name.Name] = oneLine(gen.Doc.Text())
		st, ok := spec.Type.(*ast.StructType)
		if !ok {
			continue
		}
		for _, f := range st.Fields.List {
			docs[spec.Name.Name+"."+f.Names[0].Name] = oneLine(f.Doc.Text() + f.Comment.Text())
		}
	}
	return docs
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func (w writer) object(t reflect.Type, pattern string) map[string]any {
	defaults := reflect.New(t)
	setDefaults(defaults.Interface())
	return w.group(defaults.Elem(), pattern)
}

func (w writer) group(v reflect.Value, pattern string) map[string]any {
	properties := make(map[string]any)
	var required []string
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key := f.Tag.Get("yaml")
		if key == "" {
			continue
		}
		at := join(pattern, key)
		s := w.value(v.Field(i), at)
		if doc := w.doc(v.Type(), f); doc != "" {
			s["description"] = doc
		}
		properties[key] = s
		if rules[at].required {
			required = append(required, key)
		}
	}
	s := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		slices.Sort(required)
		s["required"] = required
	}
	return s
}

// doc is the field's comment or, without one, its type's.
func (w writer) doc(in reflect.Type, f reflect.StructField) string {
	if doc := w.docs[in.Name()+"."+f.Name]; doc != "" {
		return strings.ToUpper(doc[:1]) + strings.TrimSuffix(doc[1:], ".") + "."
	}
	t := f.Type
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return w.docs[t.Name()]
}

func (w writer) value(v reflect.Value, pattern string) map[string]any {
	r := rules[pattern]
	s := make(map[string]any)
	switch t := v.Type(); {
	case t == durationType:
		zero := map[string]any{"const": 0}
		text := map[string]any{"type": "string", "pattern": durationPattern}
		s["anyOf"] = []any{text, zero}
		if r.positive {
			s["anyOf"] = []any{text}
		}
		if d := time.Duration(v.Int()); d != 0 {
			s["default"] = shortest(d)
		}
		return s
	case t == prefixType:
		return map[string]any{"type": "string", "pattern": "/[0-9]+$"}
	}
	switch v.Kind() {
	case reflect.Pointer:
		return w.object(v.Type().Elem(), pattern)
	case reflect.Struct:
		return w.group(v, pattern)
	case reflect.Slice:
		s["type"] = "array"
		element := reflect.New(v.Type().Elem())
		setDefaults(element.Interface())
		s["items"] = w.value(element.Elem(), pattern+"[]")
		if r.required {
			s["minItems"] = 1
		}
	case reflect.Map:
		s["type"] = "object"
		s["additionalProperties"] = w.object(v.Type().Elem(), pattern+".*")
		s["propertyNames"] = map[string]any{"pattern": nameShape.String()}
		s["minProperties"] = 1
	case reflect.String:
		s["type"] = "string"
		if r.oneOf != nil {
			words := []any{}
			for _, word := range r.oneOf {
				words = append(words, word)
				if f, err := strconv.ParseFloat(word, 64); err == nil {
					words = append(words, f) // 1.2 without quotes is read as the text it is
					delete(s, "type")
				}
			}
			s["enum"] = words
		}
		if pattern == "reload.signal" {
			s["enum"] = signals
		}
		if v.String() != "" {
			s["default"] = v.String()
		}
	case reflect.Bool:
		s["type"] = "boolean"
		s["default"] = v.Bool()
	default:
		s["type"] = "integer"
		if v.Kind() == reflect.Float64 {
			s["type"] = "number"
		} else if v.Int() != 0 || r.min == 0 {
			s["default"] = v.Int()
		}
		s["minimum"] = r.min
		if r.max != 0 {
			s["maximum"] = r.max
		}
	}
	return s
}

// shortest is 12h rather than 12h0m0s.
func shortest(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
