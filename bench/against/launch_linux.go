package against

import (
	"syscall"

	"github.com/seed-e3b9a99f/baton/bench"
)

// launch is how a peer is started and upgraded.
type launch struct {
	args    []string
	trigger bench.Trigger
	pidFile string // of the process in charge; "" if that keeps its pid
	header  string // that names the generation, or ""
}

// launches holds, for each peer, what starts it.
var launches = map[string]func(*site) (launch, error){
	"baton":        batonDemo,
	"baton-proxy":  batonProxy,
	"tableflip":    library("tableflip", signals(syscall.SIGHUP)),
	"endless":      library("endless", signals(syscall.SIGHUP), noTCP),
	"grace":        library("grace", signals(syscall.SIGUSR2), noTCP),
	"overseer":     library("overseer", signals(syscall.SIGUSR2), keepsPID),
	"restart":      library("restart", signals(syscall.SIGHUP), keepsPID),
	"reuseport":    library("reuseport", signals(syscall.SIGHUP), keepsPID),
	"nginx-hup":    nginx(nginxReload, keepsPID),
	"nginx-usr2":   nginx(nginxUpgrade),
	"haproxy":      haproxy(false),
	"haproxy-idle": haproxy(true),
	"caddy":        caddy,
}

// variant changes a launch.
type variant func(*site, *launch)

// keepsPID is for peers whose pidfile does not change: it says nothing about the upgrade.
func keepsPID(_ *site, l *launch) { l.pidFile = "" }

// noTCP is for peers that serve nothing but HTTP.
func noTCP(s *site, _ *launch) { s.TCP = "" }

// signals is for peers that are upgraded by a signal to the process in their pidfile.
func signals(sig syscall.Signal) variant {
	return func(_ *site, l *launch) { l.trigger = bench.SignalPIDFile(l.pidFile, sig) }
}
