// Package upstream chooses the server that a connection or a request goes to, and knows which servers are well.
//
//	pool, err := upstream.New("app", cfg, upstream.Options{Logger: log})
//	...
//	defer pool.Close()
//
//	lease, err := pool.Pick(client, nil)
//	if err != nil {
//		return err // ErrNoServer or ErrBusy
//	}
//	defer lease.Release()
//	conn, err := pool.Dial(ctx, lease.Server())
//	if err != nil {
//		lease.Failed(err) // and Pick again, with this server among those tried
//		return err
//	}
//	...
//	lease.Succeeded() // the server has answered
//
// # Model
//
// A server is in one of three states, and only one that is up is picked:
//
//	up, ejected → down      fall active checks in a row failed
//	down        → up        rise active checks in a row succeeded
//	up          → ejected   connections in a row failed, and another server is up
//	ejected     → up        its time is over, or no other server is up
//
// Active checks are the configuration's health: they ask at once and then at every interval, give or take a tenth. A
// server counts as well until they say otherwise. Ejection is passive: it learns from what leases are told. The first
// takes the configured duration, the next ones after it two, three and up to ten times that; each duration that a
// server stays in takes one off again. The row of failures is broken by a success, not by an ejection, so a server that
// comes in and fails at once goes out at once.
//
// When active checks have taken every server out, Pick fails fast: a server that does not answer checks is not
// guessed at. Ejection is weaker evidence, and so never takes the last server out: while checks think one well (or
// there are no checks), one is in. When checks take out the last one that was in, those that were ejected come in.
//
// Failures that are this process's own (no descriptors or memory left, a context that was cancelled) say nothing about
// the server, and neither eject it nor count as a failed check.
//
// # Upgrades and configuration changes
//
// [Pool.Knowledge] is what the next generation starts with, so that it is not blind. A pool whose configuration stays
// the same ([Pool.Matches]) lives on; a changed one starts with the knowledge of the old. A verdict of checks is taken
// over where the same question is still asked.
//
// # Limits
//
// A host name with several addresses is one server: it is resolved at each dial, and net.Dialer chooses. The limit on
// connections and the counts of active ones are those of one pool in one process. After Close a pool still picks, by
// what it knew last.
package upstream
