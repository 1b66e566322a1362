package config

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

const listenShape = "give PROTOCOL://ADDRESS=SERVER[,SERVER...], such as tcp://:5433=127.0.0.1:5432"

// FromFlags is the configuration that a command line describes, a listener and its upstream for each element of
// listen: PROTOCOL://ADDRESS=SERVER[,SERVER...]. PROTOCOL is http, tcp or tls-passthrough, and both sides may be
// unix:/path. All else has its default, and relative paths are relative to the working directory.
//
// A listener is named for its protocol and its address (tcp-5433, http-127-0-0-1-8080, tcp-app for unix:/run/app.sock),
// so that the same flag means the same listener after an upgrade, wherever it stands. Its upstream has the same name.
func FromFlags(listen []string) (*Config, error) {
	folder, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("find the working directory: %w", err)
	}
	c := &Config{Upstreams: make(map[string]Upstream)}
	setDefaults(c)
	v := &validator{c: c, places: make(places)}
	if len(listen) == 0 {
		v.mistakes = append(v.mistakes, &Mistake{File: "--listen", Text: "is missing: " + listenShape})
	}
	for i, text := range listen {
		at := place{file: fmt.Sprintf("--listen %d", i+1), path: text}
		l, u, problem := readListen(folder, text)
		if problem != "" {
			v.mistakes = append(v.mistakes, at.mistake("", problem))
			continue
		}
		name := l.Name
		for n := 2; ; n++ {
			if _, taken := c.Upstreams[l.Name]; !taken {
				break
			}
			l.Name = fmt.Sprintf("%s-%d", name, n)
		}
		l.Upstream = l.Name
		v.places[fmt.Sprintf("listeners[%d]", len(c.Listeners))] = at
		v.places["upstreams."+l.Name] = at
		c.Listeners = append(c.Listeners, l)
		c.Upstreams[l.Name] = u
	}
	v.all()
	if err := joined(v.mistakes); err != nil {
		return nil, err
	}
	c.places = v.places
	return c, nil
}

func readListen(folder, text string) (l Listener, u Upstream, problem string) {
	setDefaults(&l)
	setDefaults(&u)
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return l, u, "names no protocol: " + listenShape
	}
	switch Protocol(scheme) {
	case HTTP, TCP, TLSPassthrough:
		l.Protocol = Protocol(scheme)
	case "https", "tls":
		return l, u, scheme + ":// needs certificates: write a file with listeners[].tls, and give it by --config"
	default:
		return l, u, fmt.Sprintf("%q is no protocol: %s", scheme, listenShape)
	}
	listens, servers, ok := strings.Cut(rest, "=")
	if !ok || servers == "" {
		return l, u, "names no server: " + listenShape
	}
	if l.Address, problem = listenAddress(folder, listens); problem != "" {
		return l, u, problem
	}
	for _, server := range strings.Split(servers, ",") {
		server, problem := serverAddress(folder, server)
		if problem != "" {
			return l, u, problem
		}
		u.Servers = append(u.Servers, server)
	}
	l.Name = scheme + "-" + listenerName(l.Address)
	return l, u, ""
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9_]+`)

// listenerName is what is told apart of an address, in the characters of a name.
func listenerName(address string) string {
	network, rest := SplitAddress(address)
	if network == "unix" {
		base := filepath.Base(rest)
		rest = strings.TrimSuffix(base, filepath.Ext(base))
	} else if host, port, err := net.SplitHostPort(rest); err == nil {
		rest = port
		if a, err := netip.ParseAddr(host); host != "" && (err != nil || !a.IsUnspecified()) {
			rest = host + "-" + port
		}
	}
	name := strings.Trim(notInNames.ReplaceAllString(rest, "-"), "-")
	return name[:min(len(name), 48)]
}
