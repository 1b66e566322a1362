package config

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/goccy/go-yaml/ast"
)

var (
	durationType = reflect.TypeFor[time.Duration]()
	prefixType   = reflect.TypeFor[netip.Prefix]()
)

func quoted(s string) string { return strconv.Quote(s) }

// kindOf is what a value of a type is called.
func kindOf(t reflect.Type) string {
	switch {
	case t == durationType:
		return "a duration such as 30s"
	case t == prefixType:
		return "a network such as 10.0.0.0/8"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	}
	return "one text"
}

// set puts s, which was written at n, into a single value, or says what is wrong with it.
func (r rule) set(folder, s string, n ast.Node, into reflect.Value) (problem string) {
	switch {
	case into.Type() == durationType:
		d, problem := r.duration(s)
		into.SetInt(int64(d))
		return problem
	case into.Type() == prefixType:
		p, problem := network(s)
		into.Set(reflect.ValueOf(p))
		return problem
	case into.Kind() == reflect.String:
		return r.setText(folder, s, n, into)
	}
	if n.Type() == ast.StringType && n.GetToken().Origin != "" && strings.ContainsAny(n.GetToken().Origin, `"'`) {
		return quoted(s) + " is a text: write it without quotes"
	}
	switch into.Kind() {
	case reflect.Bool:
		if s != "true" && s != "false" {
			return quoted(s) + " is neither true nor false"
		}
		into.SetBool(s == "true")
		return ""
	case reflect.Float64:
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return quoted(s) + " is no number: give one such as 0.5"
		}
		into.SetFloat(f)
		return r.within(s, f)
	default:
		i, err := strconv.ParseInt(s, 10, into.Type().Bits())
		switch {
		case errors.Is(err, strconv.ErrRange):
			return s + " is too large"
		case err != nil:
			return quoted(s) + " is no whole number: write it in digits alone, such as 100"
		}
		into.SetInt(i)
		return r.within(s, float64(i))
	}
}

func (r rule) within(s string, f float64) string {
	switch {
	case f >= r.min && (r.max == 0 || f <= r.max):
		return ""
	case r.max != 0:
		return fmt.Sprintf("%s is out of range: give %v to %v", s, r.min, int64(r.max))
	case f < 0 && r.min == 0:
		return s + " is negative: give 0 or more"
	}
	return fmt.Sprintf("%s is too small: give %v or more", s, r.min)
}

func (r rule) setText(folder, s string, n ast.Node, into reflect.Value) string {
	if n.Type() == ast.BoolType {
		return fmt.Sprintf("%s is no text: put it in quotes if it is meant as one", s)
	}
	switch {
	case strings.ContainsFunc(s, unicode.IsControl):
		return quoted(s) + " holds the end of a line or another control character: write it on one line"
	case r.oneOf != nil && !slices.Contains(r.oneOf, s):
		return fmt.Sprintf("%q is no %s: give %s", s, r.noun, anyOf(r.oneOf))
	case s == "" && r.required:
		return "is empty: " + r.hint
	case r.text != nil && (s != "" || n.Type() == ast.StringType):
		meant, problem := r.text(folder, s)
		if problem != "" {
			return problem
		}
		s = meant
	}
	into.SetString(s)
	return ""
}

// duration reads s, which has a unit.
func (r rule) duration(s string) (time.Duration, string) {
	d, err := time.ParseDuration(s)
	if err != nil {
		if _, err := strconv.ParseFloat(s, 64); err == nil {
			return 0, quoted(s) + " has no unit: give a duration such as 30s"
		}
		return 0, quoted(s) + " is no duration: give one such as 500ms, 30s or 1h30m"
	}
	switch {
	case d < 0:
		return 0, quoted(s) + " is negative: give a duration such as 30s"
	case d == 0 && r.positive:
		return 0, quoted(s) + " is no time at all: give a duration such as 30s"
	case r.whole && d%time.Second != 0:
		return 0, quoted(s) + " is not in whole seconds: give a duration such as 30s"
	}
	return d, ""
}

func network(s string) (netip.Prefix, string) {
	p, err := netip.ParsePrefix(s)
	if err == nil {
		if p != p.Masked() {
			return p, fmt.Sprintf("%q has bits outside its mask: give %s", s, p.Masked())
		}
		return p, ""
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return p, fmt.Sprintf("%q is one address: give %s/%d", s, a, a.BitLen())
	}
	return p, quoted(s) + " is no network: give one such as 10.0.0.0/8"
}
