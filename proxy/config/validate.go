package config

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
)

// validator finds what is wrong with values that are right each by itself. It passes over those whose mistake has
// been told.
type validator struct {
	c        *Config
	places   places
	bad      map[string]bool
	mistakes []*Mistake

	claims []claim
	// users are the protocols of the listeners that send to an upstream; an empty one could not be read.
	users map[string][]Protocol
	// unsure is set where a listener's upstream could not be read, so that nothing can be called unused.
	unsure bool
}

func (v *validator) say(path, format string, args ...any) {
	if !v.bad[path] {
		v.mistakes = append(v.mistakes, v.places.of(path).mistake(path, fmt.Sprintf(format, args...)))
	}
}

// called is what a mistake calls the value at path: the path or, where flags were read, the flag.
func (v *validator) called(path string) string {
	if p := v.places.of(path); p.path != "" {
		return p.file
	}
	return path
}

func (v *validator) all() {
	v.users = make(map[string][]Protocol)
	if a := v.c.Admin; a.Socket != "" {
		v.claim("admin.socket", "unix:"+a.Socket)
	}
	if a := v.c.Admin; a.Metrics != "" {
		v.claim("admin.metrics", a.Metrics)
	}
	v.unsure = len(v.c.Listeners) == 0
	names := make(map[string]string)
	for i := range v.c.Listeners {
		at := fmt.Sprintf("listeners[%d]", i)
		v.once(names, v.c.Listeners[i].Name, at+".name", "give another")
		v.listener(at, &v.c.Listeners[i])
	}
	for _, name := range slices.Sorted(maps.Keys(v.c.Upstreams)) {
		v.upstream("upstreams."+name, name, v.c.Upstreams[name])
	}
}

// once reports a value that seen holds already, and what to do about it. An empty one was not read.
func (v *validator) once(seen map[string]string, value, path, advice string) {
	if value == "" {
		return
	}
	if first, ok := seen[value]; ok {
		v.say(path, "%q is %s already: %s", value, v.called(first), advice)
		return
	}
	seen[value] = path
}

// claim is an address that something listens on.
type claim struct{ path, network, host, port string }

// claim reports an address that cannot be listened on beside one that was claimed before.
func (v *validator) claim(path, address string) {
	network, rest := SplitAddress(address)
	c := claim{path: path, network: network, host: rest}
	if network == "tcp" {
		host, port, err := net.SplitHostPort(rest)
		if err != nil || port == "0" {
			return
		}
		c.host, c.port = host, port
	}
	for _, other := range v.claims {
		if other.network != c.network || other.port != c.port {
			continue
		}
		switch {
		case other.host == c.host:
			v.say(path, "%q is taken by %s: give another", address, v.called(other.path))
			return
		case c.network == "tcp" && (everyHost(other.host) || everyHost(c.host)):
			v.say(path, "%q overlaps with %s, since one of them is the port on every address: give another port",
				address, v.called(other.path))
			return
		}
	}
	v.claims = append(v.claims, c)
}

// everyHost says whether listening on host takes the port on every address. 0.0.0.0 does too: package net listens on
// both families for it.
func everyHost(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "" || err == nil && a.IsUnspecified()
}

func (v *validator) upstream(at, name string, u Upstream) {
	servers := make(map[string]string)
	for i, server := range u.Servers {
		v.once(servers, server, fmt.Sprintf("%s.servers[%d]", at, i), "keep one")
	}
	users := v.users[name]
	if len(users) == 0 {
		if v.unsure {
			return
		}
		v.say(at, "is used by no listener: name it in a listener's upstream or routes, or remove it")
		return
	}
	if !slices.Contains(users, HTTP) && !slices.Contains(users, "") {
		for _, key := range []string{"protocol", "response_timeout", "max_idle"} {
			if v.places.has(at + "." + key) {
				v.say(at+"."+key, "has no effect, since no http listener sends here: leave it out")
			}
		}
	}
	if u.ProxyProtocol != 0 && slices.Contains(users, HTTP) {
		v.say(at+".proxy_protocol", "cannot be sent for http listeners, whose connections to servers are shared: "+
			"leave it out")
	}
	if h := u.Health; h != nil && h.Path == "" {
		for _, key := range []string{"host", "status"} {
			if v.places.has(at + ".health." + key) {
				v.say(at+".health."+key, "has no effect without a path: give health.path as well")
			}
		}
	}
}
