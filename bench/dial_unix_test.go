//go:build unix

package bench

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestAcceptFlaws has servers misbehave before they have read anything.
func TestAcceptFlaws(t *testing.T) {
	refusing := func(t *testing.T) string {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		return ln.Addr().String()
	}
	t.Run("refused", func(t *testing.T) {
		addr := refusing(t)
		refused := map[Failure]int{{ConnectRefused, "ECONNREFUSED"}: operations}
		for _, lane := range []Lane{
			&newConnections{&httpLane{name: "http new", method: "GET", dialer: dialer{addr: addr}}},
			&keepAlive{&httpLane{name: "http keep-alive", method: "POST", dialer: dialer{addr: addr}}},
			&newConnections{&httpLane{name: "https new", method: "GET", dialer: dialer{addr: addr, tls: &tls.Config{}}}},
			&longTCP{&echoLane{name: "tcp long", dialer: dialer{addr: addr}}},
			&newTCP{&echoLane{name: "tcp new", dialer: dialer{addr: addr}}},
		} {
			carryOut(t, lane.Client(t.Context(), 0), operations, ample).expect(t, refused, 0)
		}
	})
	t.Run("reset on accept", func(t *testing.T) {
		dialled := make(chan bool) // a reset during connect(2) is ResetBeforeResponse; here it comes just after
		s := serveEach(t, func(s *server, c net.Conn, _ int) { <-dialled; hangUp(c) })
		lane := &newConnections{&httpLane{name: "http new", method: "GET", dialer: dialer{addr: s.addr()}}}
		c := lane.Client(t.Context(), 0).(*newConnClient)
		c.beforeSend = func(on *conn) {
			dialled <- true
			awaitPoll(t, on, unix.POLLHUP)
		}
		carryOut(t, c, operations, ample).expect(t, map[Failure]int{{WriteFailed, "ECONNRESET"}: operations}, 0)
	})
	t.Run("EOF on accept", func(t *testing.T) {
		s := serveEach(t, func(s *server, c net.Conn, _ int) {})
		lane := &newConnections{&httpLane{name: "http new", method: "GET", dialer: dialer{addr: s.addr()}}}
		c := lane.Client(t.Context(), 0).(*newConnClient)
		c.beforeSend = func(on *conn) { awaitPoll(t, on, unix.POLLIN) }
		carryOut(t, c, operations, ample).expect(t, map[Failure]int{{EOFBeforeResponse, "EOF"}: operations}, 0)
	})
}

// TestHandshakeFlaws has servers break off TLS handshakes.
func TestHandshakeFlaws(t *testing.T) {
	hello := func(c net.Conn) {
		buf := make([]byte, 16<<10)
		c.Read(buf)
	}
	for _, flaw := range []struct {
		name    string
		serve   func(s *server, c net.Conn)
		want    string
		timeout time.Duration
	}{
		{"EOF", func(_ *server, c net.Conn) { hello(c) }, "EOF", ample},
		{"RST", func(_ *server, c net.Conn) { hello(c); hangUp(c) }, "ECONNRESET", ample},
		{"truncated", func(_ *server, c net.Conn) { hello(c); c.Write([]byte{22, 3, 3, 0, 122, 2, 0}) }, "EOF", ample},
		{"no TLS", func(_ *server, c net.Conn) { hello(c); io.WriteString(c, "HTTP/1.1 400 no\r\n\r\n") }, "", ample},
		{"alert", func(_ *server, c net.Conn) { hello(c); c.Write([]byte{21, 3, 3, 0, 2, 2, 40}) }, "TLS alert", ample},
		{"hang", func(s *server, c net.Conn) { hello(c); <-s.quit }, "timeout", brief},
	} {
		t.Run(flaw.name, func(t *testing.T) {
			s := serveEach(t, func(s *server, c net.Conn, _ int) { flaw.serve(s, c) })
			at := dialer{addr: s.addr(), tls: s.target(true).TLS}
			want := map[Failure]int{{HandshakeFailed, flaw.want}: flaws}
			for _, lane := range []Lane{
				&newConnections{&httpLane{name: "https new", method: "GET", dialer: at}},
				&keepAlive{&httpLane{name: "https keep-alive", method: "POST", dialer: at}},
			} {
				carryOut(t, lane.Client(t.Context(), 0), flaws, flaw.timeout).expect(t, want, 0)
			}
		})
	}
}
