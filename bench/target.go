package bench

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// HTTP says where a server is, and what to ask it.
type HTTP struct {
	Addr string // host:port
	Host string // the Host header; Addr if empty
	Path string // with its query; "/" if empty

	// TLS is nil for plain HTTP. Its ServerName is the name that is asked for, its Certificates are what the client
	// shows of itself. The lanes work on copies.
	TLS *tls.Config

	// Method is what every lane asks with, but WebSockets and those whose body must be sent in pieces. If it is empty,
	// connections that are kept carry POST, and all others GET.
	Method string
	// Header goes with every request. What the bench itself must say (Host, the body's length, Connection) it may not
	// hold; Content-Type and User-Agent replace the bench's own.
	Header http.Header
	// Body goes with every request. If it is nil, POST, PUT and PATCH carry a line that no other request of the run has,
	// so that an echo of the wrong request is found, and other methods carry nothing.
	Body []byte
	// Expect is the right status. If it is 0 the server is held to what it answered when it was probed.
	Expect int

	// StreamPath is a path whose answer to GET streams for a while on its own. "" makes the stream's lane send a POST
	// piece by piece to Path, where the server must echo each piece as it comes.
	StreamPath string
	// WebSocketPath is where the server echoes WebSocket messages; Path if empty.
	WebSocketPath string

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
	if t.WebSocketPath == "" {
		t.WebSocketPath = t.Path
	}
	return t
}

// validate reports what would make a request malformed, or contradict what the bench says itself.
func (t HTTP) validate() error {
	for _, path := range []string{t.Path, t.StreamPath, t.WebSocketPath} {
		if strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return fmt.Errorf("path %q: white space must be escaped, as by %%20", path)
		}
	}
	if !httpguts.ValidHostHeader(t.Host) || strings.ContainsAny(t.Host, " /") {
		return fmt.Errorf("host %q is no host name", t.Host)
	}
	if t.Method != "" && !httpguts.ValidHeaderFieldName(t.Method) || t.Method == http.MethodConnect {
		return fmt.Errorf("method %q: the bench cannot ask with it", t.Method)
	}
	if t.Expect != 0 && (t.Expect < 200 || t.Expect > 599) {
		return fmt.Errorf("expected status %d: give one from 200 to 599", t.Expect)
	}
	for name, values := range t.Header {
		switch http.CanonicalHeaderKey(name) {
		case "Host", "Connection", "Content-Length", "Transfer-Encoding", "Expect", "Upgrade", idHeader, "X-Request-Id":
			return fmt.Errorf("header %s: the bench sets it itself", name)
		}
		if !httpguts.ValidHeaderFieldName(name) {
			return fmt.Errorf("header %q is no header name", name)
		}
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				return fmt.Errorf("header %s: %q is no header value", name, v)
			}
		}
	}
	return nil
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
