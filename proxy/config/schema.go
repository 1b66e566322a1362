package config

import _ "embed"

//go:embed schema.json
var schema []byte

// Schema is the configuration's JSON schema (draft 2020-12), for editors: it knows all keys, types, defaults and
// enumerations, and few of the rules between keys. deploy/baton.schema.json is the same.
func Schema() []byte { return append([]byte(nil), schema...) }
