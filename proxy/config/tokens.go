package config

import (
	"strings"

	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"
)

// tokenize is the library's, less one of its errors: in a list within a flow mapping, {servers: [127.0.0.1:9000]}, it
// takes the colon for that of a key. YAML 1.2 wants a space after that one, and HOST:PORT is what such lists hold here.
func tokenize(text string) token.Tokens {
	var whole token.Tokens
	var brackets []token.Type
	for _, t := range lexer.Tokenize(text) {
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			brackets = append(brackets, t.Type)
		case token.SequenceEndType, token.MappingEndType:
			brackets = brackets[:max(len(brackets)-1, 0)]
		}
		inList := len(brackets) > 0 && brackets[len(brackets)-1] == token.SequenceStartType
		last := len(whole) - 1
		if !inList || last < 0 || whole[last].Type != token.MappingValueType || !plain(t) || spaced(t.Origin) {
			whole.Add(t)
			continue
		}
		colon := whole[last]
		if last > 0 && whole[last-1].Indicator == token.QuotedScalarIndicator && touches(whole[last-1]) {
			whole.Add(t) // "key":value, which needs no space
			continue
		}
		value, origin, at := ":"+t.Value, colon.Origin+t.Origin, colon.Position
		whole = whole[:last]
		if last > 0 && plain(whole[last-1]) && touches(whole[last-1]) {
			before := whole[last-1]
			value, origin, at = before.Value+value, before.Origin+origin, before.Position
			whole = whole[:last-1]
		}
		if len(whole) > 0 {
			whole[len(whole)-1].Next = nil
		}
		whole.Add(token.New(value, origin, at))
	}
	return whole
}

// plain says whether t is a value without quotes.
func plain(t *token.Token) bool {
	switch t.Type {
	case token.StringType, token.IntegerType, token.FloatType, token.BoolType, token.NullType:
		return true
	}
	return false
}

const blanks = " \t\r\n"

// spaced says whether a blank comes before a token of this origin.
func spaced(origin string) bool { return strings.TrimLeft(origin, blanks) != origin }

// touches says whether the token after t follows without a blank: those between them belong to t.
func touches(t *token.Token) bool { return strings.TrimRight(t.Origin, blanks) == t.Origin }
