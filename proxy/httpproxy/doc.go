// Package httpproxy passes HTTP requests on to the servers of an upstream.
//
//	handler := httpproxy.New(httpproxy.Options{
//		Listener:  listener,
//		Upstreams: map[string]httpproxy.Upstream{"app": {Pool: pool, Config: cfg}},
//		Observe:   func(e httpproxy.Exchange) { ... }, // metrics, access log
//	})
//	defer handler.Close()
//	err := u.Serve(httpproxy.Server(listener, handler, logger), ln)
//
// # Model
//
// A route, or else the listener, names the upstream; its pool picks a server. To one that speaks HTTP/1.1 the goroutine
// that serves the client writes the request and reads the answer itself, on a connection that it has for itself
// meanwhile; a second goroutine sends the body, if that is longer than 4 KiB. One that speaks h2c is asked through
// http.Transport. Nothing is kept back: what has come is flushed when more would have to be waited for, and backpressure
// reaches the sender. The server says 100 Continue, and 1xx answers and trailers are passed on.
//
// Another server is asked, up to retries times, when no connection could be made; and when the connection died before
// any byte of an answer, where the method is idempotent and there is no body. A connection that had been idle and turns
// out to be closed is replaced without counting, by the same rule. Before each use an idle connection is looked at, so
// that this is rare: what may not be sent twice fails only if the server closes within that moment. A server that
// announces Keep-Alive: timeout gets no request after it.
//
// What the server did wrong is answered 502, 503 or 504 with a short page in HTML, JSON or plain text. An answer that
// ends early is passed on as broken: the client's connection, or stream, is reset. Each such case has a Class, is logged
// as a warning without the query, and is told to Observe.
//
// What a server sees is written anew from what net/http has understood, in one framing. Fields for one connection go,
// and so does what a client says of X-Forwarded-For and its like, unless the client is in a trusted network.
//
// # Changes of protocol
//
// WebSocket and other upgrades work for HTTP/1.1 clients and servers; Options.Tunnel takes the connections over. Upgrades
// to h2c, or of requests with a body, are not passed on: those are ordinary requests. Extended CONNECT (RFC 8441) is not
// offered, so browsers use HTTP/1.1 for WebSocket; any CONNECT is answered 405.
//
// # Limits
//
// There is no time limit on an answer's body but the listener's write_timeout, since streams may be silent for long. A
// client that closes its sending side after its request counts as gone, as it does for net/http. Fields that a
// server's Connection names are kept if it names close as well, which net/http's parser does not tell. Unannounced
// trailers of an answer with a Content-Length, which HTTP/2 servers can send, do not reach HTTP/1.1 clients.
package httpproxy
