// Package tickets keeps the keys that seal TLS session tickets, so that a session begun with one process of a service
// resumes with the next one, or with another instance.
//
//	ring := tickets.New(0, 0, time.Now())
//	ring.Use(config, "web")     // config's tickets are sealed and opened with keys of the ring from now on
//	...
//	ring.Rotate(time.Now())     // when ring.Next says so
//
// # Model
//
// A [Ring] holds a few secrets, newest first, each with the time from which it issues. The newest whose time has come
// seals new tickets; every one opens, also those whose time has not come yet. What a tls.Config is given is derived
// from the secrets by HKDF with the name of its trust domain, so that two domains never share a key: a ticket says that
// its client was let in, and must not say so where other clients are let in (CVE-2025-23419).
//
// A ring has keys of its own, which it makes as time passes, or keys of others ([Ring.Replace]), of which it only
// chooses the one that issues. It has no goroutine and no clock: whoever owns it says what time it is.
//
// # Limits
//
// Times are those of the wall clock. A clock that goes back keeps a ring's own newest key issuing for as long as it had
// been ahead, at most its lifetime more. crypto/tls takes no ticket that is older than seven days, whatever is kept.
package tickets
