// Package relay moves bytes between two sockets, or from one back to itself, and can hand a running relay to another
// process in the middle of traffic.
//
//	e, err := relay.New(relay.Options{})
//	...
//	r, err := e.Relay(client, upstream, relay.Config{IdleTimeout: time.Hour})
//	...
//	st, err := r.Export()     // nothing in this process touches the sockets from here on
//	send(st.Files, st.Blob)   // SCM_RIGHTS, say
//
// and in the process that receives them:
//
//	r, err := e.Import(relay.State{Files: files, Blob: blob}, relay.Config{IdleTimeout: time.Hour})
//
// # Model
//
// On Linux an [Engine] is a few event loops, each a goroutine in epoll_wait. A relay belongs to one loop for life, and
// between two rounds of the loop every relay is at a known point: so many bytes read, so many written, the difference
// in a pipe. Export is a command that the loop carries out there. A relay at rest is its sockets and a few hundred
// bytes of memory: small messages pass through one buffer that the loop's relays share, bulk by splice(2) through a
// pooled pipe. A relay holds a pipe of its own only while bytes are stuck behind a peer that does not read; then
// nothing more is read from the other side, so that backpressure reaches the sender. When no pipe can be had (EMFILE)
// up to 32 KiB a direction wait in memory instead.
//
// [Engine.Connect] begins with a client alone, as a bare descriptor, and connects to its server by itself: that takes half
// the system calls of a dial by package net, and neither socket is ever known to Go's poller. The caller's goroutine makes
// both sockets known to the loop, which their first event wakes up.
//
// # How a relay ends
//
// End of stream on one side is passed on by shutdown(SHUT_WR) once everything before it is written; the other
// direction goes on. When both directions have ended, the relay has.
//
// An error on one side (a reset, a keep-alive that timed out) ends both. What the failed side had sent and the other
// accepts without waiting is delivered first; then the other side is reset (SO_LINGER 0), because a clean end of stream
// would tell it that it has everything. As with any reset, bytes the kernel had not yet delivered are lost.
// [Relay.Abort] and [Engine.Close] reset both sides. So does the idle timeout while bytes are stuck; with nothing stuck
// it closes cleanly.
//
// # Limits
//
// TCP and Unix stream sockets only. Ancillary data on Unix sockets and TCP urgent data are not passed on. While another
// process holds a copy of a socket (the parent, until the child has acknowledged) closing ours sends no reset yet.
//
// An engine wants GOMAXPROCS of at least its loops plus one: the runtime takes the P of a goroutine that waits in a
// system call, and a loop that wakes needs one back.
//
// Elsewhere than on Linux each direction is a goroutine, and Export and Import return [errors.ErrUnsupported].
package relay
