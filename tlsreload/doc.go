// Package tlsreload serves certificates, client CAs and session ticket keys that change under a running server.
//
//	certs, err := tlsreload.New(ctx, tlsreload.Options{Sources: tlsreload.Pair("cert.pem", "key.pem")})
//	...
//	certs.Attach(srv)               // or tls.NewListener(ln, certs.Config()) where it is not HTTP
//	err = srv.ListenAndServeTLS("", "")
//
// # Model
//
// What a handshake needs stands in a snapshot that never changes, behind an atomic pointer: no handshake reads a file,
// and none sees half of a change. A Source is asked for all that it has, again and again; file system events only wake
// that poll early. What it says is compared by content, has to read the same twice, and is judged on its own merits: a
// certificate that is broken, expired, or has lost a name is refused, the last good one stays, and the log and Status
// say why. The others go on. There are 10 ms between the two reads, none where the files have not been written for a
// minute, and what is Static is read once.
//
// Session tickets are sealed with keys of this package's own (TicketKeys), derived for each trust domain: names and
// client CAs that are treated alike. So a client that one name has let in is never taken for one of another
// (CVE-2025-23419), and a client of a CA that was removed cannot resume either.
//
// # Limits
//
// A connection keeps the certificate that it was made with. Where that matters, Options.MaxAge and Revoke end HTTP
// connections at their next response. A resumed session shows its client the certificate of the first handshake.
package tlsreload
