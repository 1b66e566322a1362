package config

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

var (
	labelShape = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$`)
	digits     = regexp.MustCompile(`^[0-9]+$`)
)

// SplitAddress is an address as package net takes it: the network, tcp or unix, and what follows "unix:" or all of it.
func SplitAddress(address string) (network, rest string) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return "unix", path
	}
	return "tcp", address
}

// listenAddress is where clients come in. Port 0 is one that the system chooses.
func listenAddress(folder, s string) (string, string) { return address(folder, s, addressHint, true) }

// serverAddress is where a server listens.
func serverAddress(folder, s string) (string, string) { return address(folder, s, serverHint, false) }

func metricsAddress(folder, s string) (string, string) {
	if s == "" {
		return "", ""
	}
	const hint = "give HOST:PORT or :PORT"
	if strings.HasPrefix(s, "unix:") {
		return "", fmt.Sprintf("%q is no address of TCP: %s", s, hint)
	}
	return address(folder, s, hint, true)
}

func address(folder, s, hint string, listens bool) (string, string) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		path, problem := socketPath(folder, path, s)
		return "unix:" + path, problem
	}
	no := func(format string, args ...any) (string, string) {
		return "", fmt.Sprintf("%q %s: %s", s, fmt.Sprintf(format, args...), hint)
	}
	if s == "" {
		return "", "is empty: " + hint
	}
	if scheme, _, ok := strings.Cut(s, "://"); ok {
		return "", fmt.Sprintf("%q is no address: leave %s:// out", s, scheme)
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		switch {
		case listens && digits.MatchString(s):
			return "", fmt.Sprintf("%q is no address: did you mean \":%[1]s\"?", s)
		case strings.HasPrefix(s, "/"):
			return "", fmt.Sprintf("%q is no address: did you mean unix:%[1]s?", s)
		case strings.Count(s, ":") > 1 && !strings.HasPrefix(s, "["):
			return "", fmt.Sprintf(`%q is no address: put an IPv6 address in brackets, such as "[::1]:8080"`, s)
		case !strings.Contains(s, ":"):
			return no("has no port")
		}
		return no("is no address")
	}
	least := 1
	if listens {
		least = 0
	}
	if n, err := strconv.Atoi(port); err != nil || !digits.MatchString(port) || n > 65535 || n < least {
		return "", fmt.Sprintf("%q has no port from %d to 65535: %s", s, least, hint)
	}
	if host == "" {
		if !listens {
			return "", fmt.Sprintf("%q has no host: give one, such as 127.0.0.1%[1]s", s)
		}
		return s, ""
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return s, ""
	}
	if problem := hostProblem(strings.ToLower(host)); problem != "" {
		return no("has the host %q, which %s", host, problem)
	}
	return s, ""
}

// hostProblem is what keeps a lower-case s from being the name of a host; empty where it is one.
func hostProblem(s string) string {
	labels := strings.Split(s, ".")
	switch {
	case len(s) > 253:
		return "is longer than 253 bytes"
	case digits.MatchString(labels[len(labels)-1]):
		return "is neither an IP address nor a name"
	}
	for _, r := range s {
		if r > 0x7f {
			return "is not ASCII (write xn--...)"
		}
	}
	for _, label := range labels {
		if !labelShape.MatchString(label) {
			return "is no name of a host"
		}
	}
	return ""
}

// namePattern is a name that clients ask for by SNI: exact, or "*." and a name.
func namePattern(_, s string) (string, string) {
	if _, err := netip.ParseAddr(s); err == nil {
		return "", fmt.Sprintf("%q is an address, and clients ask for names alone: %s", s, hostsHint)
	}
	return hostPattern("", s)
}

// hostPattern is namePattern for the Host of a request, which may be an IP address as well.
func hostPattern(_, s string) (string, string) {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.String(), ""
	}
	host := strings.ToLower(s)
	name := strings.TrimPrefix(host, "*.")
	switch {
	case s == "*":
		return "", `"*" is every host: leave it out`
	case strings.Contains(name, "*"):
		return "", fmt.Sprintf(`%q has its star elsewhere than in "*." at the beginning: %s`, s, hostsHint)
	case strings.Contains(name, ":"):
		return "", fmt.Sprintf("%q has a port: leave it out", s)
	}
	if problem := hostProblem(name); problem != "" {
		return "", fmt.Sprintf("%q %s: %s", s, problem, hostsHint)
	}
	return host, ""
}

// hostHeader is a host with or without a port.
func hostHeader(_, s string) (string, string) {
	if s == "" {
		return "", ""
	}
	host := s
	if h, port, err := net.SplitHostPort(s); err == nil && digits.MatchString(port) {
		host = h
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return s, ""
	}
	if problem := hostProblem(strings.ToLower(host)); problem != "" {
		return "", fmt.Sprintf("%q %s: give one such as www.example.com", s, problem)
	}
	return s, ""
}
