// Package config is the proxy's configuration: one YAML file, checked whole before anything of it takes effect.
//
//	listeners:
//	  - {name: db, address: ":5433", protocol: tcp, upstream: pg}
//	upstreams:
//	  pg: {servers: [127.0.0.1:5432]}
//
// [Load] reads such a file, fills in what it leaves out, and reports every mistake in it together: each is a [Mistake]
// with its line, its column, the key's path and what to write instead. [FromFlags] makes the same from a command line.
// Both look at the text alone. [Config.Check] looks at what the text speaks of: certificates, other files, folders and
// the names of hosts. Nothing here binds an address or connects to a server.
//
// What the file's reader knows, and a reader of the types may not:
//
//   - A relative path is relative to the configuration file's folder, and absolute once it is loaded.
//   - A duration has a unit (500ms, 30s, 1h30m), and is never negative. 0 needs none.
//   - Host names are lower case once loaded, and host patterns are exact or begin with "*.".
//   - An upstream that no listener sends to is a mistake, as is a setting that has no effect where it stands (h2c with
//     tls, alpn on http): what was written was meant.
//   - Anchors, aliases and merge keys (<<) work; several documents, tags and keys of one's own do not.
//
// Limits: a file has at most 1 MiB, nests at most 32 deep, and holds at most 100,000 values once its aliases are
// followed. An error of the YAML itself hides the mistakes beside it, since nothing after it can be trusted.
package config
