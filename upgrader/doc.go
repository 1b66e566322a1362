// Package upgrader replaces a running server by a new version of itself while clients are connected.
//
//	func main() {
//		opts := upgrader.Options{PIDFile: "app.pid"}
//		err := upgrader.Run(context.Background(), opts, func(u *upgrader.Upgrader) error {
//			ln, err := u.ListenNamed("web", "tcp", ":8080", upgrader.HTTP)
//			if err != nil {
//				return err
//			}
//			u.Go(func() error { return u.Serve(&http.Server{Handler: handler}, ln) })
//			return nil
//		})
//		if err != nil {
//			log.Print(err)
//		}
//		os.Exit(upgrader.ExitCode(err))
//	}
//
// Now kill -HUP $(cat app.pid) starts whatever program is at os.Args[0], passes the listeners on to it, and ends this
// process when its last request is answered. Idle connections go along.
//
// # The model
//
// Each process of the service is a generation; the one in charge is the parent of the next. A child inherits fds and
// named state, opens what is new, and calls Ready. The parent then stops accepting, without closing anything, and the
// child serves on probation. If it exits, hangs up or is unhealthy, the parent goes on as if nothing had happened, and
// logs why with the child's last lines of standard error. If not, the child takes over: pidfile, service manager. Then
// live connections move: plain HTTP/1.1 ones when they are idle, and those that the program sends in parcels
// (OnHandover, SendParcel). The parent finishes the rest: TLS connections end with Connection: close, HTTP/2 ones with
// GOAWAY, all else runs until it ends or the drain deadline comes. A new upgrade does not wait for that. If the parent
// is killed, a child that is ready takes over by itself.
//
// Signals: HUP upgrades, TERM and INT stop (a second one at once), USR1 and USR2 switch maintenance mode on and off.
// One that reaches a process which has been replaced is passed on.
//
// # For users of tableflip
//
// The API of github.com/cloudflare/tableflip v1.2.3 is here; replace the import path. A process that runs on tableflip
// can be upgraded to a binary that runs on this package. Its calls return the standard library's listeners, which this
// package cannot pause or drain; ListenNamed and Serve are what keeps requests from being lost.
//
// # Limits
//
// There is one Upgrader in a process. Linux is its home; macOS and the BSDs build and upgrade too. Windows builds, and
// New returns ErrNotSupported. TLS connections do not move; their clients resume with the next generation.
package upgrader
