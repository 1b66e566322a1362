package stream

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/proxy/config"
)

// A server of net/http sees whom the header names, however the network splits it.
func TestWithHeaders(t *testing.T) {
	for _, test := range []struct {
		name, trusted, head string
		pieces              int
		want                string // what the server answers; "" where the connection is ended
	}{
		{"trusted", "127.0.0.0/8", "PROXY TCP4 192.0.2.7 192.0.2.8 4711 80\r\n", 1, "192.0.2.7:4711"},
		{"in pieces", "127.0.0.0/8", "PROXY TCP4 192.0.2.7 192.0.2.8 4711 80\r\n", 40, "192.0.2.7:4711"},
		{"missing", "127.0.0.0/8", "", 1, ""},
		{"not trusted", "192.0.2.0/24", "", 1, "127.0.0.1:"},
		{"unknown", "127.0.0.0/8", "PROXY UNKNOWN\r\n", 1, "127.0.0.1:"},
	} {
		t.Run(test.name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, r.RemoteAddr)
			})}
			pp := &config.ProxyProtocol{Trusted: []netip.Prefix{netip.MustParsePrefix(test.trusted)}, Timeout: 5 * time.Second}
			done := make(chan struct{})
			go func() { defer close(done); _ = srv.Serve(WithHeaders(ln, pp)) }()
			defer func() { srv.Close(); <-done }()
			c, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(10 * time.Second))
			text := test.head + "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
			for size := (len(text) + test.pieces - 1) / test.pieces; text != ""; {
				n := min(size, len(text))
				if _, err := io.WriteString(c, text[:n]); err != nil {
					break // the server has ended it
				}
				text = text[n:]
			}
			answer, _ := io.ReadAll(c)
			if _, body, _ := strings.Cut(string(answer), "\r\n\r\n"); !strings.HasPrefix(body, test.want) || (test.want == "") != (len(answer) == 0) {
				t.Errorf("answer %q, want %q", answer, test.want)
			}
		})
	}
}
