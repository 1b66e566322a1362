// Package proxy stands in front of servers that know nothing of upgrades, and gives their clients the promise: the proxy
// is upgraded, its configuration changed and its certificates rotated, and nobody notices.
//
//	err := proxy.Run(ctx, proxy.Options{File: "baton.yaml", Stderr: os.Stderr})
//	os.Exit(upgrader.ExitCode(err))
//
// # Model
//
// A configuration becomes something that runs: a pool for each upstream, a server for each listener, a set of
// certificates for each listener that ends TLS. A reload makes what is new, and swaps it in once all of it is there; what
// stays the same is kept as it runs. Listeners are known by their address, so that a socket outlives every change around
// it.
//
// An upgrade (HUP) starts the program anew, which reads the file as it is then. It inherits the sockets, the ticket
// keys, what is known of servers, and the counters; connections that the kernel holds move to it.
//
// # Limits
//
// Some settings belong to a process: a reload that changes them is refused, and says that it takes an upgrade. TLS that
// ends here stays in its process, see package upgrader.
package proxy
