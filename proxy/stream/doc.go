// Package stream proxies connections, byte by byte: TCP, TLS that ends here, and TLS that is routed by the server name
// in its ClientHello and passed through.
//
//	s := stream.New("db", stream.Options{Relays: relays, Logger: log})
//	s.Use(settings)          // also while it serves: for the connections that come after
//	u.Go(func() error { return s.Serve(ln) })
//
// # Model
//
// A connection that stays as the kernel has it, which is all but TLS that ends here, becomes a relay: it takes no
// goroutine, and moves to the next generation. TLS that ends here is copied by two goroutines, and stays in its process
// until it ends or the drain is over.
//
// A server that cannot be reached costs nothing but time: another one is tried, since nothing has been sent. A client for
// whom there is none is reset, for a clean end of stream would tell it that it has everything.
package stream
