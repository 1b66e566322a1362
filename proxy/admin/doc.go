// Package admin is how an operator talks to a running proxy: JSON over HTTP on a Unix socket that only its owner may
// open.
//
//	ln, err := u.ListenNamed("admin", "unix", "/run/baton/admin.sock", upgrader.HTTP)
//	...
//	err = admin.Restrict("/run/baton/admin.sock")
//	srv := &http.Server{Handler: admin.Handler(service, logger), ConnContext: admin.ConnContext}
//
// and in another process:
//
//	status, err := admin.NewClient("/run/baton/admin.sock").Status(ctx)
//	...
//	err = status.Text(os.Stdout)
//
// # Model
//
//	GET  /status       a Status
//	POST /upgrade      lines {"progress":"..."}, and at the end {"done":true} or {"error":"..."}
//	POST /reload       a ReloadResult; 422 if the new configuration was refused
//	GET  /maintenance  {"on":false}
//	PUT  /maintenance  {"on":true}
//
// Every failure is {"error":"..."}, which says what to do. What the answers are made of comes from a Service.
//
// Two things keep others out: the socket's mode, and the kernel's word on who has connected. A request is answered only
// for the user that the proxy runs as and for root, and only where ConnContext has asked the kernel.
//
// # Limits
//
// Linux, macOS and FreeBSD tell who has connected; elsewhere every request is refused. A user in another user namespace
// is known by what its uid maps to in the proxy's.
package admin
