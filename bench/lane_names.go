package bench

import (
	"fmt"
	"strings"
	"time"
)

// Targets says where the servers are that lanes are made for. Those that are nil or "" are not there.
type Targets struct {
	HTTP  *HTTP         // without TLS
	HTTPS *HTTP         // with TLS
	TCP   string        // host:port of an echo server
	Hold  time.Duration // how long timed lanes wait in their middle; DefaultHold if 0
}

// Needs says which of the targets a lane is for.
type Needs string

// The targets, by the names that the command has for them.
const (
	NeedsHTTP  Needs = "http"
	NeedsHTTPS Needs = "https"
	NeedsTCP   Needs = "tcp"
)

// LaneInfo describes a lane that can be chosen by its name.
type LaneInfo struct {
	Name  string // as "https-new-resumed": what [Lane.Name] returns, with hyphens for its spaces
	Help  string // one line
	Needs Needs
	// Default lanes need nothing of the server but what any server of their kind does.
	Default bool
}

type laneKind struct {
	LaneInfo
	make func(Targets) Lane
}

// Lanes lists every lane there is.
func Lanes() []LaneInfo {
	var list []LaneInfo
	for _, kind := range laneKinds {
		list = append(list, kind.LaneInfo)
	}
	return list
}

// NewLane makes the lane of a name, as [Lanes] lists it or as [Lane.Name] has it.
func NewLane(name string, t Targets) (Lane, error) {
	for _, kind := range laneKinds {
		if kind.Name != strings.ReplaceAll(name, " ", "-") {
			continue
		}
		switch {
		case kind.Needs == NeedsHTTP && (t.HTTP == nil || t.HTTP.TLS != nil),
			kind.Needs == NeedsHTTPS && (t.HTTPS == nil || t.HTTPS.TLS == nil),
			kind.Needs == NeedsTCP && t.TCP == "":
			return nil, fmt.Errorf("lane %s needs a server to talk %s to: say where it is", kind.Name, kind.Needs)
		}
		return kind.make(t), nil
	}
	return nil, fmt.Errorf("no lane %q; there are %s", name, laneNames())
}

func laneNames() string {
	var names []string
	for _, kind := range laneKinds {
		names = append(names, kind.Name)
	}
	return strings.Join(names, ", ")
}

var laneKinds = listLanes()

func listLanes() (list []laneKind) {
	add := func(needs Needs, name, help string, byDefault bool, make func(Targets) Lane) {
		list = append(list, laneKind{LaneInfo{string(needs) + "-" + name, help, needs, byDefault}, make})
	}
	for _, needs := range []Needs{NeedsHTTP, NeedsHTTPS} {
		at := func(t Targets) HTTP {
			if needs == NeedsHTTPS {
				return *t.HTTPS
			}
			return *t.HTTP
		}
		lane := func(name, help string, byDefault bool, make func(HTTP) Lane) {
			add(needs, name, help, byDefault, func(t Targets) Lane { return make(at(t)) })
		}
		timed := func(name, help string, make func(HTTP, time.Duration) Lane) {
			add(needs, name, help, false, func(t Targets) Lane { return make(at(t), t.Hold) })
		}
		lane("new", "a new connection for each GET", true, NewConnections)
		if needs == NeedsHTTPS {
			lane("new-resumed", "the same, resuming TLS sessions", false, NewResumed)
		}
		lane("keep-alive", "POSTs on connections that stay open", true, KeepAlive)
		lane("pipelined", "four GETs at once on connections that stay open", false, Pipelined)
		if needs == NeedsHTTPS {
			lane("h2", "HTTP/2 streams, ten at a time on a connection", false, HTTP2)
		} else {
			lane("h2c", "HTTP/2 without TLS, with prior knowledge", false, HTTP2)
		}
		lane("websocket", "WebSockets that stay open to an echo", false, WebSocket)
		timed("halves", "POSTs sent in two halves, an upgrade between them", Halves)
		timed("stream", "answers that stream across an upgrade", Stream)
		timed("silent", "connected and silent, then a GET", Silent)
		timed("idle", "a GET, idle for a while, then another", Idle)
		if needs == NeedsHTTPS {
			timed("half-open", "TLS handshakes that stop half-way, then go on", HalfOpen)
		}
	}
	add(NeedsTCP, "long", "connections that stay open to an echo", true, func(t Targets) Lane { return LongTCP(t.TCP) })
	add(NeedsTCP, "new", "a new connection for each echo", true, func(t Targets) Lane { return NewTCP(t.TCP) })
	add(NeedsTCP, "silent", "connected and silent, then an echo", false,
		func(t Targets) Lane { return SilentTCP(t.TCP, t.Hold) })
	add(NeedsTCP, "idle", "an echo, idle for a while, then another", false,
		func(t Targets) Lane { return IdleTCP(t.TCP, t.Hold) })
	return list
}
