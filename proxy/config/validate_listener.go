package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

func (v *validator) listener(at string, l *Listener) {
	if l.Address != "" {
		v.claim(at+".address", l.Address)
	}
	if !v.places.has(at + ".idle_timeout") {
		l.IdleTimeout = idleTimeout(l.Protocol)
	}
	v.unsure = v.unsure || v.bad[at] || v.bad[at+".upstream"] || v.bad[at+".routes"]
	v.sends(at+".upstream", l.Upstream, l.Protocol)
	if l.Protocol == "" {
		for i, r := range l.Routes {
			v.sends(fmt.Sprintf("%s.routes[%d].upstream", at, i), r.Upstream, "")
		}
		return // told already; nothing else can be judged without it
	}
	if !v.places.has(at+".upstream") && l.Upstream == "" && len(l.Routes) == 0 && !v.bad[at+".routes"] {
		v.say(at+".upstream", "is missing: %s", upstreamHint)
		v.unsure = true
	}
	v.routes(at, l)
	v.tls(at, l)
	v.onlyFor(at+".http", l.Protocol, HTTP)
	v.onlyFor(at+".peek_timeout", l.Protocol, TLSPassthrough)
	if l.HTTP.H2C && l.Protocol == HTTP && l.TLS != nil {
		v.say(at+".http.h2c", "is HTTP/2 without TLS, and this listener has tls: leave one of them out")
	}
	if l.ProxyProtocol != nil && strings.HasPrefix(l.Address, "unix:") {
		v.say(at+".proxy_protocol", "trusts networks, and clients of a Unix socket come from none: leave it out")
	}
}

func (v *validator) onlyFor(path string, has, wants Protocol) {
	if has != wants && v.places.has(path) {
		v.say(path, "is for %s listeners, and this one is %s: leave it out", wants, has)
	}
}

// sends reports the name of an upstream that is none, and remembers who uses it.
func (v *validator) sends(path, upstream string, p Protocol) {
	if upstream == "" {
		if v.places.has(path) {
			v.say(path, "is empty: %s", upstreamHint)
		}
		v.unsure = v.unsure || v.bad[path] || v.places.has(path)
		return
	}
	v.users[upstream] = append(v.users[upstream], p)
	if _, ok := v.c.Upstreams[upstream]; ok || v.bad["upstreams"] || len(v.c.Upstreams) == 0 {
		return
	}
	v.unsure = true
	v.say(path, "%q is no upstream: %s", upstream, suggestion(upstream, slices.Sorted(maps.Keys(v.c.Upstreams))))
}

// match is what a route takes.
type match struct{ host, prefix string }

func (m match) String() string {
	switch {
	case m.host == "":
		return "path_prefix " + m.prefix
	case m.prefix == "":
		return m.host
	}
	return m.host + " with path_prefix " + m.prefix
}

func (v *validator) routes(at string, l *Listener) {
	if l.Protocol == TCP {
		if v.places.has(at + ".routes") {
			v.say(at+".routes", "are for http and tls-passthrough listeners, and this one is tcp: give upstream alone")
		}
		for _, r := range l.Routes {
			v.users[r.Upstream] = append(v.users[r.Upstream], l.Protocol)
		}
		return
	}
	taken := make(map[match]string)
	for i, r := range l.Routes {
		route := fmt.Sprintf("%s.routes[%d]", at, i)
		v.sends(route+".upstream", r.Upstream, l.Protocol)
		hosts, key := r.Hosts, ".hosts"
		if l.Protocol == TLSPassthrough {
			hosts, key = r.SNI, ".sni"
			v.onlyFor(route+".hosts", l.Protocol, HTTP)
			v.onlyFor(route+".path_prefix", l.Protocol, HTTP)
		} else {
			v.onlyFor(route+".sni", l.Protocol, TLSPassthrough)
		}
		for j, host := range hosts {
			v.take(taken, match{host, r.PathPrefix}, fmt.Sprintf("%s%s[%d]", route, key, j), host != "")
		}
		written := v.places.has(route+key) || l.Protocol == HTTP && v.places.has(route+".path_prefix")
		switch {
		case len(hosts) > 0 || v.bad[route]:
		case l.Protocol == HTTP && r.PathPrefix != "":
			if !v.places.has(route + key) {
				v.take(taken, match{"", r.PathPrefix}, route+".path_prefix", true)
			}
		case !written && l.Protocol == HTTP && !v.places.has(route+".sni"):
			v.say(route, "takes every request: give hosts or path_prefix, or make its upstream the listener's")
		case !written && l.Protocol != HTTP && !v.places.has(route+".hosts") && !v.places.has(route+".path_prefix"):
			v.say(route, "takes every connection: give sni, or make its upstream the listener's")
		}
		if l.Protocol == HTTP && v.places.has(route+".hosts") && len(hosts) == 0 ||
			l.Protocol == TLSPassthrough && v.places.has(route+".sni") && len(hosts) == 0 {
			v.say(route+key, "is empty: %s", hostsHint)
		}
	}
	if all := taken[match{"", "/"}]; all != "" && l.Upstream != "" {
		v.say(at+".upstream", "gets nothing, since %s takes every request: leave one of them out", v.called(all))
	}
}

// take reports what an earlier route takes already. The order of routes does not matter, since the longest prefix and
// the exact host win; so nothing but the same again is in a route's way.
func (v *validator) take(taken map[match]string, m match, path string, read bool) {
	if !read || v.bad[path] {
		return
	}
	if first, ok := taken[m]; ok {
		v.say(path, "%s is taken by %s: keep one", m, v.called(first))
		return
	}
	taken[m] = path
}

func (v *validator) tls(at string, l *Listener) {
	at += ".tls"
	t := l.TLS
	switch {
	case t == nil:
		return
	case l.Protocol == TLSPassthrough:
		v.say(at, "cannot stand on a tls-passthrough listener, whose servers end TLS: leave it out, or make the protocol tcp")
		return
	case l.Protocol == HTTP && v.places.has(at+".alpn"):
		v.say(at+".alpn", "is for tcp listeners, since http ones offer h2 and http/1.1: leave it out")
	}
	offered := make(map[string]string)
	for i, name := range t.ALPN {
		v.once(offered, name, fmt.Sprintf("%s.alpn[%d]", at, i), "keep one")
	}
	names := make(map[string]string)
	for i, h := range t.Hosts {
		host := fmt.Sprintf("%s.hosts[%d]", at, i)
		for j, name := range h.Names {
			v.once(names, name, fmt.Sprintf("%s.names[%d]", host, j), "keep one")
		}
		if !v.places.has(host+".client_ca") && !v.places.has(host+".min_version") && !v.bad[host] {
			v.say(host, "changes nothing: give client_ca or min_version")
		}
	}
}
