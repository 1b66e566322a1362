package config

import (
	"strings"
	"testing"
)

// In a list, a colon with no space after it belongs to the value around it, whatever is around the list.
func TestColonsInLists(t *testing.T) {
	for text, want := range map[string]string{
		"a: [h:1, i:2]":                       "a|:|[|h:1|,|i:2|]",
		"{a: [127.0.0.1:9000, localhost:90]}": "{|a|:|[|127.0.0.1:9000|,|localhost:90|]|}",
		"{a: [fe80::/10, ::1/128, 12:30:45]}": "{|a|:|[|fe80::/10|,|::1/128|,|12:30:45|]|}",
		"{a: [unix:run/x, {b: c}, [d:1]]}":    "{|a|:|[|unix:run/x|,|{|b|:|c|}|,|[|d:1|]|]|}",
		"{a: [b: c, d : e, f:  g]}":           "{|a|:|[|b|:|c|,|d|:|e|,|f|:|g|]|}",
		"{a: [b:\n  c]}":                      "{|a|:|[|b|:|c|]|}",
		`{a: ["b":c]}`:                        `{|a|:|[|b|:|c|]|}`,
		"{a: [b\n:c]}":                        "{|a|:|[|b|:c|]|}",
		"{a: [b :c]}":                         "{|a|:|[|b|:c|]|}",
	} {
		var have []string
		for _, token := range tokenize(text) {
			have = append(have, token.Value)
		}
		if have := strings.Join(have, "|"); have != want {
			t.Errorf("%s is %s, want %s", text, have, want)
		}
	}
}
