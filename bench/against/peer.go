package against

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Peer is a server, and a way to upgrade it.
type Peer struct {
	Name   string   // short and unique, as "nginx-usr2"
	Family string   // what people call it: "nginx" is both nginx-hup and nginx-usr2
	What   string   // what it is and what upgrades it, in a line
	Setup  []string // how it is set up, in lines for people

	proxy bool // it stands in front of the upstream
}

// Options says what to start peers with.
type Options struct {
	Baton string // path of the baton binary; "" leaves Baton out

	// Drain is how long a replaced process may finish what it serves. 0 leaves it to each peer's own manual or example.
	Drain time.Duration
}

// Missing is the error of a peer that is not on this machine.
type Missing struct {
	What string // what is not there
	Do   string // how to get it
}

func (m *Missing) Error() string { return m.What + ": " + m.Do }

// Peers returns all peers, in the order of the table.
func Peers() []Peer {
	return []Peer{
		{
			Name: "baton", Family: "baton", What: "Baton's library (baton demo), SIGHUP",
			Setup: []string{"baton demo with its defaults: probation of 1 s, 30 s to drain"},
		},
		{
			Name: "baton-proxy", Family: "baton", What: "Baton's proxy in front of the upstream, SIGHUP",
			Setup: []string{"config/baton.yaml: its defaults"},
			proxy: true,
		},
		{
			Name: "tableflip", Family: "tableflip", What: "tableflip v1.2.3 with net/http, SIGHUP",
			Setup: []string{
				"its http_example_test.go: Shutdown, and the process ends after 30 s",
				"the echo waits for its clients within the same 30 s",
			},
		},
		{
			Name: "endless", Family: "endless", What: "endless (2017), SIGHUP",
			Setup: []string{"its README and examples/multi_port.go; hammer time of 60 s, its default; no TCP"},
		},
		{
			Name: "grace", Family: "grace", What: "facebookgo/grace (2018), SIGUSR2",
			Setup: []string{"its gracedemo; the old process has 60 s, which cannot be changed; no TCP"},
		},
		{
			Name: "overseer", Family: "overseer", What: "overseer v1.1.6, SIGUSR2 to its master",
			Setup: []string{"its README, \"Only use graceful restarts\"; TerminateTimeout of 30 s, its default"},
		},
		{
			Name: "restart", Family: "restart", What: "net/http, stopped and started anew by a service manager",
			Setup: []string{
				"SIGTERM, Shutdown within 30 s, wait for the end, start: as systemctl restart does",
				"the echo ends with its process",
			},
		},
		{
			Name: "reuseport", Family: "reuseport",
			What:  "net/http on SO_REUSEPORT: the new one starts, then the old one gets SIGTERM",
			Setup: []string{"Shutdown within 30 s; the echo ends with its process"},
		},
		{
			Name: "nginx-hup", Family: "nginx", What: "nginx in front of the upstream, HUP (reload)",
			Setup: []string{"config/nginx.conf; no worker_shutdown_timeout, its default"},
			proxy: true,
		},
		{
			Name: "nginx-usr2", Family: "nginx", What: "nginx in front of the upstream, USR2 and then QUIT (binary upgrade)",
			Setup: []string{"config/nginx.conf; no worker_shutdown_timeout, its default"},
			proxy: true,
		},
		{
			Name: "haproxy", Family: "haproxy", What: "HAProxy in front of the upstream, USR2 to its master",
			Setup: []string{"config/haproxy.cfg: -W, expose-fd listeners, hard-stop-after 30s, as in the manual's example"},
			proxy: true,
		},
		{
			Name: "haproxy-idle", Family: "haproxy", What: "the same with option idle-close-on-response",
			Setup: []string{"config/haproxy.cfg"},
			proxy: true,
		},
		{
			Name: "caddy", Family: "caddy", What: "Caddy in front of the upstream, POST /load",
			Setup: []string{"config/Caddyfile; no grace_period, its default; no TCP without a plugin"},
			proxy: true,
		},
	}
}

// Select returns the peers of a list such as "baton,nginx-usr2". A family's name stands for all of its peers, and "all"
// for all there are. The order is that of Peers.
func Select(list string) ([]Peer, error) {
	all := Peers()
	var known []string
	for _, p := range all {
		known = append(known, p.Family, p.Name)
	}
	slices.Sort(known)
	known = slices.Compact(known)
	wanted := strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
	if len(wanted) == 0 {
		return nil, fmt.Errorf("no peers: name some of %s, or all", strings.Join(known, ", "))
	}
	for _, name := range wanted {
		if name != "all" && !slices.Contains(known, name) {
			return nil, fmt.Errorf("no peer is called %q: there are %s, and all", name, strings.Join(known, ", "))
		}
	}
	return slices.DeleteFunc(all, func(p Peer) bool {
		return !slices.Contains(wanted, p.Name) && !slices.Contains(wanted, p.Family) && !slices.Contains(wanted, "all")
	}), nil
}
