package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/seed-e3b9a99f/baton/proxy/config"
)

// maxHead is how many bytes a response's head may have.
const maxHead = 64 << 10

// greetings begin a check's connection where the upstream's servers expect a PROXY header: one that says that the proxy
// itself is asking. https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, sections 2.1 and 2.2.
var greetings = map[int]string{
	1: "PROXY UNKNOWN\r\n",
	2: "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00",
}

// question makes the function that checks a server once: nil means that it is well. Each check has a connection of its
// own, since one that is kept open shows nothing about a server that takes no new ones.
func question(cfg config.Upstream) (func(context.Context, *Server) error, error) {
	health := *cfg.Health
	target, err := url.Parse("http://server" + health.Path)
	if err != nil || health.Path != "" && health.Path[0] != '/' {
		return nil, fmt.Errorf("health path %q: give a path such as /healthz", health.Path)
	}
	ask := func(ctx context.Context, s *Server) error {
		conn, err := new(net.Dialer).DialContext(ctx, s.network, s.target)
		if err != nil {
			return err
		}
		defer conn.Close()
		defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
		if greeting := greetings[cfg.ProxyProtocol]; greeting != "" {
			_, err = io.WriteString(conn, greeting)
		}
		switch {
		case health.Path == "":
			return nil // it took the connection; what it did with it then is another question
		case err != nil:
			return fmt.Errorf("send PROXY header: %w", err)
		}
		req := (&http.Request{
			Method: http.MethodGet,
			URL:    target,
			Host:   hostFor(health, s),
			Header: http.Header{"User-Agent": {"baton-health-check"}},
			Close:  true,
		}).WithContext(ctx)
		exchange := exchangeHTTP1
		if cfg.Protocol == "h2c" {
			exchange = exchangeHTTP2
		}
		status, err := exchange(conn, req)
		switch want := health.Status; {
		case err != nil:
			return fmt.Errorf("GET %s: %w", health.Path, err)
		case want == 0 && status > 399: // those below 200 are not final
			return fmt.Errorf("GET %s: status %d, not one of 200 to 399", health.Path, status)
		case want != 0 && status != want:
			return fmt.Errorf("GET %s: status %d, not %d", health.Path, status, want)
		}
		return nil
	}
	return func(ctx context.Context, s *Server) error {
		ctx, cancel := context.WithTimeout(ctx, health.Timeout)
		defer cancel()
		err := ask(ctx, s)
		if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return fmt.Errorf("no answer within %v: %w", health.Timeout, err)
		}
		return err
	}, nil
}

// exchangeHTTP1 sends a request and returns the status of its response. Not http.Transport, which logs by itself, to
// nobody's logger, when a server speaks before it is asked.
func exchangeHTTP1(conn net.Conn, req *http.Request) (status int, err error) {
	if err := req.Write(conn); err != nil {
		return 0, err
	}
	r := bufio.NewReader(io.LimitReader(conn, maxHead))
	for {
		resp, err := http.ReadResponse(r, req)
		if err != nil {
			return 0, err
		}
		if resp.StatusCode >= 200 {
			return resp.StatusCode, nil
		}
	}
}

// exchangeHTTP2 does the same by HTTP/2 with prior knowledge. The transport goes away when conn is closed.
func exchangeHTTP2(conn net.Conn, req *http.Request) (status int, err error) {
	transport := &http.Transport{
		DialContext:            func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHead,
		Protocols:              new(http.Protocols),
	}
	transport.Protocols.SetUnencryptedHTTP2(true)
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	resp.Body.Close()
	return resp.StatusCode, nil
}

// hostFor is the Host header of a check.
func hostFor(health config.Health, s *Server) string {
	switch {
	case health.Host != "":
		return health.Host
	case s.network == "unix":
		return "localhost"
	case strings.HasPrefix(s.target, ":"):
		return "localhost" + s.target
	default:
		return s.target
	}
}

// questionText names what is asked, so that a verdict is taken over only where the same is asked again.
func questionText(cfg config.Upstream) string {
	switch {
	case cfg.Health == nil:
		return ""
	case cfg.Health.Path == "":
		return "connect"
	default:
		return fmt.Sprintf("%s %s host=%q status=%d", cfg.Protocol, cfg.Health.Path, cfg.Health.Host, cfg.Health.Status)
	}
}
