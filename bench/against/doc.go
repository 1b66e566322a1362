// Package against runs the same work against different servers, each of which is upgraded in its own way, and sets what
// their clients lost side by side.
//
//	func main() {
//		against.Reexec()
//		peers, err := against.Select("baton,tableflip,nginx")
//		...
//		outcomes, err := against.Run(ctx, peers, against.Options{Baton: path}, plan, progress)
//		...
//		against.Table(os.Stdout, outcomes)
//	}
//
// A [Peer] is a server and a way to upgrade it. The libraries for Go stand in programs of their own, in the nested
// module bench/baselines, which is built when one of them is asked for; so they need the source of this project and
// Go. The installed servers stand in front of one upstream that is not upgraded, with the configurations in config/,
// each of which names the page of the manual that it follows. What is not there is skipped, with a line that says how
// to get it.
//
// Every peer serves the same: GET is answered with "ok\n" and POST with its own body, over HTTP and HTTPS, and a TCP
// echo where it can. All have the same clients, rates and upgrades. The drain deadlines are those of each one's manual
// or example, unless [Options.Drain] sets one for all: a run that is shorter than a deadline does not see what it cuts,
// and [Outcome.Most] says how many processes piled up meanwhile.
//
// All of a peer's processes are kept by one process, which is this program once more: see [Reexec]. It ends them all
// when it is told to, or when the program that started it has gone.
//
// Limits: Linux, one machine; peers take turns, so that a neighbour's load can strike one and spare the next.
package against
