package upgrader

import "time"

// This file is the whole story of an upgrade: the phases that a process goes through, what can happen to it, and what
// it does in each case. machine.go moves through it; parent.go and child.go do what entering a phase asks for.
//
//	                 ┌────────────────────── rollback: the child has gone, refused, or taken too long
//	                 ▼                                  ▲            ▲            ▲             ▲             ▲
//	old process   Serving ─ HUP ▶ Starting ─ started ▶ Awaiting ─ Probation ─ Committing ─ HandingOver ▶ Draining ▶ Exited
//	                 │                │                Ready  │      │ serve      │ commit ▲     │ acked
//	               TERM               │ fds, state    ready ▲ │      │            │        │     ▼
//	                 ▼                ▼                     │ ▼      ▼            ▼        │ committed
//	              Stopping        new process: Initialising ┴ Announced ▶ OnProbation ▶ TakingOver ▶ Serving
//
// A first start has no parent: Ready takes it from Initialising through Announced and TakingOver to Serving. So does a
// child whose parent was killed, which is why nobody has to notice.
//
// Until Committing, nothing has been done that cannot be undone: the parent has only stopped accepting, and the
// kernel's accept queue holds what arrives. The child's Committed is the commit point. Until Draining, the parent can
// take the service back.

// Phase is where a process stands in its life as a generation of a service.
type Phase uint8

// The phases, in the order in which a process goes through them.
const (
	Initialising  Phase = iota // the program starts up; New has inherited what the parent passed on
	Announced                  // ready; the parent, if there is one, has been told
	OnProbation                // child: serves, while the parent stands by
	TakingOver                 // the service is ours: pidfile, service manager
	Serving                    // in charge of the service
	Starting                   // parent: starts a child and passes it fds and state
	AwaitingReady              // parent: the child starts up
	Probation                  // parent: accepts no more; the child serves
	Committing                 // parent: the child has been told to take over
	HandingOver                // parent: live connections move to the child
	Draining                   // parent: the child is in charge; what could not move is finished
	Stopping                   // the service stops; what is under way is finished
	Exited                     // nothing is left to do
	phases
)

var phaseNames = [phases]string{
	"initialising", "announced", "on probation", "taking over", "serving", "starting", "awaiting ready", "probation",
	"committing", "handing over", "draining", "stopping", "exited",
}

func (p Phase) String() string {
	if p < phases {
		return phaseNames[p]
	}
	return "unknown phase"
}

// event is what can happen to a process, in any phase.
type event uint8

const (
	evReady        event = iota // the program called Ready
	evUpgrade                   // HUP, Upgrade
	evStop                      // TERM, INT, Stop
	evForce                     // a second TERM or INT
	evDone                      // the phase's own work is done
	evFailed                    // the phase's own work could not be done
	evTimeout                   // the phase's time is up
	evChildReady                // the child can serve
	evChildRefused              // the child says why it cannot serve
	evChildGone                 // the child exited or hung up
	evCommitted                 // the child has taken over
	evServe                     // the parent puts us on probation
	evCommit                    // the parent gives us the service
	evAbort                     // the parent has taken the service back
	evParentGone                // the parent exited, or there never was one
	events
)

var eventNames = [events]string{
	"ready", "upgrade", "stop", "force", "done", "failed", "timeout", "child ready", "child refused", "child gone",
	"committed", "serve", "commit", "abort", "parent gone",
}

func (e event) String() string { return eventNames[e] }

// verb is what is done about an event.
type verb uint8

const (
	never  verb = iota + 1 // cannot happen; logged as a bug of Baton and otherwise left alone
	drop                   // means nothing here
	move                   // to another phase
	later                  // kept until the upgrade under way has ended; Upgrade is told to wait
	pass                   // for the generation in charge: sent on to the child
	refuse                 // an upgrade that is too late
	kill                   // kill the child; evChildGone follows
)

type verdict struct {
	verb verb
	to   Phase // for move
}

func to(p Phase) verdict { return verdict{verb: move, to: p} }

var (
	isNever  = verdict{verb: never}
	dropIt   = verdict{verb: drop}
	keepIt   = verdict{verb: later}
	passIt   = verdict{verb: pass}
	refuseIt = verdict{verb: refuse}
	killIt   = verdict{verb: kill}
	rollback = to(Serving)
)

// verdicts decides every event in every phase. A test reads it for holes.
var verdicts = [phases][events]verdict{
	Initialising: {
		evReady: to(Announced), evUpgrade: keepIt, evStop: to(Stopping), evForce: to(Exited),
		evDone: isNever, evFailed: isNever, evTimeout: isNever,
		evChildReady: isNever, evChildRefused: isNever, evChildGone: isNever, evCommitted: isNever,
		// A parent that dies now is found again at Announced: only a ready child takes over.
		evServe: isNever, evCommit: isNever, evAbort: to(Stopping), evParentGone: dropIt,
	},
	Announced: {
		evReady: isNever, evUpgrade: keepIt, evStop: to(Stopping), evForce: to(Exited),
		evDone: isNever, evFailed: isNever, evTimeout: isNever,
		evChildReady: isNever, evChildRefused: isNever, evChildGone: isNever, evCommitted: isNever,
		// Commit without Serve: probation is switched off.
		evServe: to(OnProbation), evCommit: to(TakingOver), evAbort: to(Stopping), evParentGone: to(TakingOver),
	},
	OnProbation: { // its work is the health function, which can only fail
		evReady: isNever, evUpgrade: keepIt, evStop: to(Stopping), evForce: to(Exited),
		evDone: isNever, evFailed: to(Stopping), evTimeout: isNever,
		evChildReady: isNever, evChildRefused: isNever, evChildGone: isNever, evCommitted: isNever,
		evServe: isNever, evCommit: to(TakingOver), evAbort: to(Stopping), evParentGone: to(TakingOver),
	},
	TakingOver: { // its work is the pidfile
		evReady: isNever, evUpgrade: keepIt, evStop: keepIt, evForce: to(Exited),
		evDone: to(Serving), evFailed: to(Stopping), evTimeout: isNever,
		evChildReady: isNever, evChildRefused: isNever, evChildGone: isNever, evCommitted: isNever,
		// After Commit a parent no longer aborts: it kills, and waits for our death.
		evServe: isNever, evCommit: isNever, evAbort: isNever, evParentGone: dropIt,
	},
	Serving: {
		evReady: isNever, evUpgrade: to(Starting), evStop: to(Stopping), evForce: to(Exited),
		evDone: isNever, evFailed: isNever, evTimeout: isNever,
		// A child that was given up is still on its way out.
		evChildReady: isNever, evChildRefused: dropIt, evChildGone: dropIt, evCommitted: isNever,
		evServe: isNever, evCommit: isNever, evAbort: isNever, evParentGone: dropIt,
	},
	Starting: { // its work is to start the child and to send it everything
		evReady: isNever, evUpgrade: keepIt, evStop: to(Stopping), evForce: to(Exited),
		evDone: to(AwaitingReady), evFailed: rollback, evTimeout: rollback,
		evChildReady: isNever, evChildRefused: rollback, evChildGone: rollback, evCommitted: isNever,
		evServe: isNever, evCommit: isNever, evAbort: isNever, evParentGone: dropIt,
	},
	AwaitingReady: {
		evReady: isNever, evUpgrade: keepIt, evStop: to(Stopping), evForce: to(Exited),
		evDone: isNever, evFailed: isNever, evTimeout: rollback,
		evChildReady: to(Probation), evChildRefused: rollback, evChildGone: rollback, evCommitted: isNever,
		evServe: isNever, evCommit: isNever, evAbort: isNever, evParentGone: dropIt,
	},
	Probation: { // passes when its time is up
		evReady: isNever, evUpgrade: keepIt, evStop: to(Stopping), evForce: to(Exited),
		evDone: isNever, evFailed: isNever, evTimeout: to(Committing),
		evChildReady: isNever, evChildRefused: rollback, evChildGone: rollback, evCommitted: isNever,
		evServe: isNever, evCommit: isNever, evAbort: isNever, evParentGone: dropIt,
	},
	Committing: { // who owns the service is open: a stop waits for the answer, and goes to the owner
		evReady: isNever, evUpgrade: keepIt, evStop: keepIt, evForce: to(Exited),
		evDone: isNever, evFailed: isNever, evTimeout: killIt,
		evChildReady: isNever, evChildRefused: rollback, evChildGone: rollback, evCommitted: to(HandingOver),
		evServe: isNever, evCommit: isNever, evAbort: isNever, evParentGone: dropIt,
	},
	HandingOver: { // its work is to send what can move; what cannot is for Draining
		evReady: isNever, evUpgrade: keepIt, evStop: keepIt, evForce: to(Exited),
		evDone: to(Draining), evFailed: to(Draining), evTimeout: to(Draining),
		evChildReady: isNever, evChildRefused: rollback, evChildGone: rollback, evCommitted: isNever,
		evServe: isNever, evCommit: isNever, evAbort: isNever, evParentGone: dropIt,
	},
	Draining: { // its work is to finish what is under way
		evReady: isNever, evUpgrade: passIt, evStop: passIt, evForce: to(Exited),
		evDone: to(Exited), evFailed: isNever, evTimeout: to(Exited),
		evChildReady: isNever, evChildRefused: dropIt, evChildGone: dropIt, evCommitted: isNever,
		evServe: isNever, evCommit: isNever, evAbort: isNever, evParentGone: dropIt,
	},
	Stopping: { // its work is to finish what is under way
		evReady: dropIt, evUpgrade: refuseIt, evStop: dropIt, evForce: to(Exited),
		evDone: to(Exited), evFailed: isNever, evTimeout: to(Exited),
		evChildReady: dropIt, evChildRefused: dropIt, evChildGone: dropIt, evCommitted: isNever,
		evServe: dropIt, evCommit: dropIt, evAbort: dropIt, evParentGone: dropIt,
	},
	Exited: { // a program that drains by itself lives on for a while, and so do its signals
		evReady: dropIt, evUpgrade: passIt, evStop: passIt, evForce: dropIt,
		evDone: dropIt, evFailed: dropIt, evTimeout: dropIt,
		evChildReady: dropIt, evChildRefused: dropIt, evChildGone: dropIt, evCommitted: dropIt,
		evServe: dropIt, evCommit: dropIt, evAbort: dropIt, evParentGone: dropIt,
	},
}

// timeout returns how long a phase may last, and false where it has no bound. Starting and AwaitingReady share one.
func (o *Options) timeout(p Phase) (time.Duration, bool) {
	switch p {
	case Starting:
		return o.UpgradeTimeout, true
	case Probation:
		return o.probation(), true
	case Committing:
		return o.CommitTimeout, true
	case HandingOver, Draining, Stopping:
		return o.DrainTimeout, true
	default:
		return 0, false
	}
}
