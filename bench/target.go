package bench

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"
)

// HTTP says where a server is, and what to ask it.
type HTTP struct {
	Addr string      // host:port
	Host string      // the Host header; Addr if empty
	Path string      // with its query; "/" if empty
	TLS  *tls.Config // nil: plain HTTP

	// GenerationHeader names the response header whose value changes when a new generation answers. "" means that the
	// server has none.
	GenerationHeader string

	// SameBody holds GET to the body that it had when it was probed. Without it any whole body is right, since a new
	// version may well say something else.
	SameBody bool
}

// probeTimeout bounds each request that is sent before the run, to find out whether it can begin.
const probeTimeout = 5 * time.Second

// ParseHTTP reads "host:port", ":port" or a URL. scheme is "http" or "https"; a URL must agree with it. For https the
// certificate is not verified; set TLS.InsecureSkipVerify to false for that.
func ParseHTTP(scheme, s string) (HTTP, error) {
	if !strings.Contains(s, "://") {
		s = scheme + "://" + s
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return HTTP{}, err
	case u.Scheme != scheme:
		return HTTP{}, fmt.Errorf("%q is not %s", s, scheme)
	case u.User != nil || u.Fragment != "":
		return HTTP{}, fmt.Errorf("%q: a user or a fragment has no meaning here", s)
	}
	addr, err := ParseAddr(withPort(u.Host, scheme))
	if err != nil {
		return HTTP{}, err
	}
	t := HTTP{Addr: addr, Host: u.Host, Path: u.RequestURI()}
	if u.Hostname() == "" {
		t.Host = addr
	}
	if scheme == "https" {
		host, _, _ := net.SplitHostPort(addr)
		t.TLS = &tls.Config{ServerName: host, InsecureSkipVerify: true}
	}
	return t, nil
}

func withPort(host, scheme string) string {
	u := url.URL{Host: host}
	switch {
	case u.Port() != "":
		return host
	case scheme == "https":
		return net.JoinHostPort(u.Hostname(), "443")
	default:
		return net.JoinHostPort(u.Hostname(), "80")
	}
}

// ParseAddr reads "host:port" or ":port", which means this machine.
func ParseAddr(s string) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", fmt.Errorf("%q is no host:port: %w", s, err)
	}
	n, err := net.LookupPort("tcp", port)
	if err != nil || n == 0 {
		return "", fmt.Errorf("%q: port %q is not in 1-65535", s, port)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

func (t HTTP) scheme() string {
	if t.TLS != nil {
		return "https"
	}
	return "http"
}

func (t HTTP) withDefaults() HTTP {
	if t.Host == "" {
		t.Host = t.Addr
	}
	if t.Path == "" {
		t.Path = "/"
	}
	return t
}

// resolve connects once and returns the address that was reached. Later connections go to this one alone: a dialer
// that falls back from one address of a name to the next is a retry in disguise.
func resolve(ctx context.Context, addr string) (string, error) {
	dialer := net.Dialer{Timeout: probeTimeout}
	c, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", fmt.Errorf("cannot reach the server: %w", err)
	}
	defer c.Close()
	return c.RemoteAddr().String(), nil
}
