// Package bench counts what clients lose, and how long they wait, while a server is upgraded under load.
//
//	target, err := bench.ParseHTTP("http", "127.0.0.1:8080")
//	if err != nil {
//		log.Fatal(err)
//	}
//	report, err := bench.Run(context.Background(), bench.Plan{
//		Lanes: []bench.Lane{bench.NewConnections(target), bench.KeepAlive(target)},
//		Upgrades: &bench.Upgrades{
//			Count:   5,
//			Trigger: bench.SignalPIDFile("/run/app.pid", syscall.SIGHUP),
//			PIDFile: "/run/app.pid",
//		},
//	})
//	if err != nil {
//		log.Fatal(err)
//	}
//	bench.WriteTable(os.Stdout, report)
//	fmt.Println(report.Verdict.Line)
//
// A [Lane] is one kind of client: a new connection per request, POSTs on connections kept alive, a long TCP echo, and
// so on. Every lane runs at the same rate in an open loop: the schedule of requests is fixed before the run, and a
// request's latency begins when it was due, so that a server which stalls cannot slow the clients down and hide it.
//
// Clients never retry. Each operation ends in exactly one [Class], by the phase in which it failed, with the errno
// beside it. A connection whose close the client saw before it sent is reopened, and nothing is lost. A close that
// crosses a request on the wire is a loss, and that is the one which retrying clients hide. What the client itself ran
// out of (files, ports, memory, time) is counted apart and never blamed on the server; a run with too much of it is
// void.
//
// An upgrade begins when its [Trigger] fires. Its window lasts until the takeover is complete and [Upgrades.Settle] has
// passed; an operation is "within the upgrade" if it touches the window, and steady otherwise. From outside, the
// takeover is seen by the strongest [Sign] that the server gives: a response header that names the generation, a pidfile
// that names another process, new workers of one that stays, or else just an answer. See [Upgrades].
//
// Lanes lists every kind of client, and NewLane makes one by its name. Beside upgrades, events can rotate the
// certificate, reload the configuration, or put a bad binary in the server's place (Upgrades.Kinds, Upgrades.Inject).
// Reports are written as JSON, a table, JUnit XML, an HDR log and Go benchmark lines, and as an HTML page by package page
// below this one; Compare sets two side by side, and Merge joins those of several machines that began at one time.
//
// Limits: HTTP/1.1, HTTP/2, WebSocket and raw TCP echoes. The bench knows servers only from outside, so "serving" means
// that a response was received, which is up to one request interval after it became possible.
package bench
