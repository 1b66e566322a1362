package bench

import (
	"net"
	"strings"
	"testing"
)

func TestParseHTTP(t *testing.T) {
	for _, c := range []struct {
		scheme, s        string
		addr, host, path string
	}{
		{"http", "127.0.0.1:8080", "127.0.0.1:8080", "127.0.0.1:8080", "/"},
		{"http", ":8080", "127.0.0.1:8080", "127.0.0.1:8080", "/"},
		{"http", "example.com", "example.com:80", "example.com", "/"},
		{"https", "example.com", "example.com:443", "example.com", "/"},
		{"http", "http://[::1]:8080/a/b?c=d", "[::1]:8080", "[::1]:8080", "/a/b?c=d"},
		{"https", "[::1]", "[::1]:443", "[::1]", "/"},
		{"https", "https://example.com/x", "example.com:443", "example.com", "/x"},
	} {
		got, err := ParseHTTP(c.scheme, c.s)
		if err != nil || got.Addr != c.addr || got.Host != c.host || got.Path != c.path || (got.TLS != nil) != (c.scheme == "https") {
			t.Errorf("%s %q: %+v, %v", c.scheme, c.s, got, err)
		}
		if got.TLS != nil && (!got.TLS.InsecureSkipVerify || got.TLS.ServerName != strings.Trim(c.addr[:strings.LastIndex(c.addr, ":")], "[]")) {
			t.Errorf("%q: TLS %+v", c.s, got.TLS)
		}
	}
	for s, want := range map[string]string{
		"https://example.com":  "is not http",
		"ftp://example.com":    "is not http",
		"http://u:p@localhost": "a user or a fragment",
		"localhost:99999":      "not in 1-65535",
		"localhost:0":          "not in 1-65535",
		"localhost:x y":        "",
		"a b":                  "",
	} {
		if got, err := ParseHTTP("http", s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v; want %q", s, got, err, want)
		}
	}
}

func TestParseAddr(t *testing.T) {
	for s, want := range map[string]string{"localhost:7": "localhost:7", ":7": "127.0.0.1:7", "[::1]:7": "[::1]:7"} {
		if got, err := ParseAddr(s); err != nil || got != want {
			t.Errorf("%q: %q, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "localhost", "localhost:", "localhost:65536", "::1:7"} {
		if got, err := ParseAddr(s); err == nil {
			t.Errorf("%q: %q", s, got)
		}
	}
}

// A name's address is looked up once. A dialer that went from one address of it to the next would hide refusals.
func TestProbePinsTheAddress(t *testing.T) {
	s := serveEcho(t, func(_ *server, c net.Conn, _ int64, p []byte) bool { c.Write(p); return true })
	_, port, err := net.SplitHostPort(s.addr())
	if err != nil {
		t.Fatal(err)
	}
	c := client(t, NewTCP("localhost:"+port)).(*newTCPClient)
	if got := c.dialer.addr; got != s.addr() {
		t.Errorf("dials %s, want %s", got, s.addr())
	}
}
