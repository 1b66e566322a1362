//go:build unix

package bench

import (
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The self-test: servers that misbehave on purpose, each in one way, and clients that must find exactly that. No
// timing decides: a server that is to be closed before the client writes is waited for on the client's own socket.

// awaitPoll waits until poll(2) says one of the events of a client's socket, without taking anything from it.
func awaitPoll(t *testing.T, c *conn, events int16) {
	t.Helper()
	err := c.wire.raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: events}}
		for {
			n, err := unix.Poll(fds, int(ample.Milliseconds()))
			if err == unix.EINTR {
				continue
			}
			if err != nil || n != 1 || fds[0].Revents&(events|unix.POLLHUP) == 0 {
				t.Errorf("poll: %d events, %v, %#x", n, err, fds[0].Revents)
			}
			return
		}
	})
	if err != nil {
		t.Error(err)
	}
}

// TestRequestFlaws has servers misbehave after they have read a whole request, in the HTTP lanes.
func TestRequestFlaws(t *testing.T) {
	partial := func(r request) {
		io.WriteString(r.w, r.response(200, r.right())[:40])
	}
	for _, flaw := range []struct {
		name    string
		handle  func(s *server, r request) bool
		want    Failure
		timeout time.Duration
	}{
		{"eof before response", func(_ *server, r request) bool { return false }, Failure{EOFBeforeResponse, "EOF"}, ample},
		{"reset before response", func(_ *server, r request) bool {
			hangUp(r.wire)
			return false
		}, Failure{ResetBeforeResponse, "ECONNRESET"}, ample},
		{"eof mid response", func(_ *server, r request) bool {
			partial(r)
			return false
		}, Failure{EOFMidResponse, "EOF"}, ample},
		{"reset mid response", func(_ *server, r request) bool {
			partial(r)
			hangUp(r.wire)
			return false
		}, Failure{ResetMidResponse, "ECONNRESET"}, ample},
		{"hang before response", func(s *server, r request) bool {
			<-s.quit
			return false
		}, Failure{ResponseTimeout, "timeout"}, brief},
		{"hang mid response", func(s *server, r request) bool {
			partial(r)
			<-s.quit
			return false
		}, Failure{ResponseTimeout, "timeout"}, brief},
		{"wrong bytes", func(_ *server, r request) bool {
			r.respond(200, "no"+r.right()[2:])
			return true
		}, Failure{Class: WrongBytes}, ample},
		{"short body", func(_ *server, r request) bool {
			r.respond(200, r.right()[1:])
			return true
		}, Failure{Class: WrongBytes}, ample},
		{"no HTTP", func(_ *server, r request) bool {
			io.WriteString(r.w, "220 mail.example ESMTP\r\n")
			return false
		}, Failure{Class: WrongBytes}, ample},
		{"two responses", func(_ *server, r request) bool {
			io.WriteString(r.w, r.response(200, r.right())+r.response(200, r.right()))
			return false
		}, Failure{Class: WrongBytes}, ample},
		{"wrong status", func(_ *server, r request) bool {
			r.respond(503, r.right())
			return true
		}, Failure{WrongStatus, "503"}, ample},
	} {
		for _, secure := range []bool{false, true} {
			for _, make := range []func(HTTP) Lane{NewConnections, KeepAlive} {
				at := serveHTTP(t, secure, func(s *server, r request) bool {
					if sometimes(r.op) {
						return flaw.handle(s, r)
					}
					r.answer()
					return true
				}).target(secure)
				at.SameBody = true
				lane := make(at)
				t.Run(flaw.name+"/"+lane.Name(), func(t *testing.T) {
					c := client(t, lane)
					if flaw.timeout == ample {
						got := carryOut(t, c, operations, ample)
						got.expect(t, map[Failure]int{{Class: OK}: operations - flaws, flaw.want: flaws}, 0)
						return
					}
					// Only the operation that must time out gets little time.
					if r := c.Do(1, time.Now().Add(ample)); r.Class != OK {
						t.Fatal(r.Err)
					}
					if r := c.Do(3, time.Now().Add(flaw.timeout)); r.Failure != flaw.want {
						t.Errorf("%v, want %v", r.Failure, flaw.want)
					}
					if r := c.Do(4, time.Now().Add(ample)); r.Class != OK {
						t.Error(r.Err)
					}
				})
			}
		}
	}
}

// TestPoliteCloses has servers end keep-alive connections as HTTP/1.1 allows. Nothing may be lost.
func TestPoliteCloses(t *testing.T) {
	for _, polite := range []struct {
		name   string
		handle func(s *server, r request) bool
		events int16 // that tell the client's socket of it; 0: the response itself does
	}{
		{"FIN", func(_ *server, r request) bool {
			r.answer()
			return false
		}, unix.POLLIN},
		{"RST", func(_ *server, r request) bool {
			r.answer()
			hangUp(r.wire)
			return false
		}, unix.POLLHUP},
		{"close_notify or FIN", func(_ *server, r request) bool {
			r.answer()
			r.w.(io.Closer).Close()
			return false
		}, unix.POLLIN},
		{"connection: close", func(_ *server, r request) bool {
			r.answer("Connection: close")
			return false
		}, 0},
		{"408", func(s *server, r request) bool {
			r.answer()
			<-s.gate
			r.respond(408, "too slow", "Connection: close")
			return false
		}, unix.POLLIN},
	} {
		for _, secure := range []bool{false, true} {
			s := serveHTTP(t, secure, func(s *server, r request) bool {
				if sometimes(r.op) {
					return polite.handle(s, r)
				}
				r.answer()
				return true
			})
			lane := KeepAlive(s.target(secure))
			t.Run(polite.name+"/"+lane.Name(), func(t *testing.T) {
				c := client(t, lane).(*keepAliveClient)
				got := outcomes{by: map[Failure]int{}}
				for seq := int64(1); seq <= operations; seq++ {
					r := c.Do(seq, time.Now().Add(ample))
					got.by[r.Failure]++
					if r.Renewed {
						got.renewed++
					}
					if sometimes(seq) && polite.events != 0 && c.on != nil {
						if polite.name == "408" {
							s.gate <- true
						}
						awaitPoll(t, c.on, polite.events)
					}
				}
				got.expect(t, map[Failure]int{{Class: OK}: operations}, flaws)
			})
		}
	}
}

// TestCloseCrossesRequest has servers close the connection after the client has looked at it and before it writes. It
// is the loss that clients which retry hide.
func TestCloseCrossesRequest(t *testing.T) {
	for _, secure := range []bool{false, true} {
		for _, end := range []struct {
			name  string
			close func(net.Conn)
			event int16
			want  Failure
		}{
			{"FIN", func(c net.Conn) { c.Close() }, unix.POLLIN, Failure{EOFBeforeResponse, "EOF"}},
			{"RST", hangUp, unix.POLLHUP, Failure{WriteFailed, "ECONNRESET"}},
		} {
			now := make(chan bool)
			s := serveHTTP(t, secure, func(s *server, r request) bool {
				r.answer()
				if r.op == 1 {
					<-now
					end.close(r.wire)
					return false
				}
				return true
			})
			lane := KeepAlive(s.target(secure))
			t.Run(end.name+"/"+lane.Name(), func(t *testing.T) {
				c := client(t, lane).(*keepAliveClient)
				if secure { // the session tickets must not be what poll tells of
					defer func() { c.beforeSend = nil }()
				}
				if r := c.Do(1, time.Now().Add(ample)); r.Class != OK {
					t.Fatal(r.Err)
				}
				c.beforeSend = func(on *conn) {
					now <- true
					awaitPoll(t, on, end.event)
				}
				if r := c.Do(2, time.Now().Add(ample)); r.Failure != end.want || r.Opened != 0 {
					t.Errorf("%v with %d connections opened, want %v with none", r.Failure, r.Opened, end.want)
				}
				c.beforeSend = nil
				if r := c.Do(3, time.Now().Add(ample)); r.Class != OK || r.Renewed {
					t.Errorf("afterwards: %v, renewed %v", r.Failure, r.Renewed)
				}
			})
		}
	}
}

// TestAnswerBeforeReset has a server answer and hang up before the client has written: the write fails, and the
// response is there.
func TestAnswerBeforeReset(t *testing.T) {
	dialled := make(chan bool)
	s := serveEach(t, func(s *server, c net.Conn, number int) {
		if number > 3 {
			<-dialled
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			hangUp(c)
			return
		}
		buf := make([]byte, 1<<10)
		c.Read(buf)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
	})
	c := client(t, NewConnections(s.target(false))).(*newConnClient)
	c.beforeSend = func(on *conn) {
		dialled <- true
		awaitPoll(t, on, unix.POLLHUP)
	}
	carryOut(t, c, operations, ample).expect(t, map[Failure]int{{Class: OK}: operations}, 0)
}

// TestUnasked has a server speak on a connection at rest.
func TestUnasked(t *testing.T) {
	s := serveHTTP(t, false, func(s *server, r request) bool {
		r.answer()
		if r.op == 1 {
			r.answer() // once more
		}
		return true
	})
	c := client(t, KeepAlive(s.target(false))).(*keepAliveClient)
	first := c.Do(1, time.Now().Add(ample))
	if first.Class == OK { // the second answer came after the first was read
		awaitPoll(t, c.on, unix.POLLIN)
		first = c.Do(2, time.Now().Add(ample))
	}
	if want := (Failure{Class: WrongBytes}); first.Failure != want {
		t.Errorf("%v, want %v", first.Failure, want)
	}
}

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

// TestEchoFlaws has echo servers misbehave, in both TCP lanes.
func TestEchoFlaws(t *testing.T) {
	for _, flaw := range []struct {
		name    string
		do      func(s *server, c net.Conn, payload []byte) bool
		want    Failure
		timeout time.Duration
	}{
		{"eof before", func(*server, net.Conn, []byte) bool { return false }, Failure{EOFBeforeResponse, "EOF"}, ample},
		{"reset before", func(_ *server, c net.Conn, _ []byte) bool { hangUp(c); return false },
			Failure{ResetBeforeResponse, "ECONNRESET"}, ample},
		{"eof mid", func(_ *server, c net.Conn, p []byte) bool { c.Write(p[:5]); return false },
			Failure{EOFMidResponse, "EOF"}, ample},
		{"reset mid", func(_ *server, c net.Conn, p []byte) bool { c.Write(p[:5]); hangUp(c); return false },
			Failure{ResetMidResponse, "ECONNRESET"}, ample},
		{"hang", func(s *server, c net.Conn, p []byte) bool { <-s.quit; return false },
			Failure{ResponseTimeout, "timeout"}, brief},
		{"one wrong byte", func(_ *server, c net.Conn, p []byte) bool { p[payloadSize-2] ^= 1; c.Write(p); return true },
			Failure{Class: WrongBytes}, ample},
		{"the echo of another", func(_ *server, c net.Conn, p []byte) bool {
			c.Write(payload(nil, "tcp long", 1, opOf(p)))
			return true
		}, Failure{Class: WrongBytes}, ample},
		{"an echo of before", func(_ *server, c net.Conn, p []byte) bool {
			c.Write(payload(nil, "tcp long", 0, opOf(p)-1))
			return true
		}, Failure{Class: WrongBytes}, ample},
		{"echo and more", func(_ *server, c net.Conn, p []byte) bool {
			c.Write(append(p[:payloadSize:payloadSize], '!'))
			return true
		},
			Failure{Class: WrongBytes}, ample},
	} {
		for _, make := range []func(string) Lane{LongTCP, NewTCP} {
			s := serveEcho(t, func(s *server, c net.Conn, op int64, p []byte) bool {
				if sometimes(op) {
					return flaw.do(s, c, p)
				}
				c.Write(p)
				return true
			})
			lane := make(s.addr())
			t.Run(flaw.name+"/"+lane.Name(), func(t *testing.T) {
				c := client(t, lane)
				if flaw.timeout == ample {
					carryOut(t, c, operations, ample).expect(t,
						map[Failure]int{{Class: OK}: operations - flaws, flaw.want: flaws}, 0)
					return
				}
				if r := c.Do(3, time.Now().Add(flaw.timeout)); r.Failure != flaw.want {
					t.Errorf("%v, want %v", r.Failure, flaw.want)
				}
			})
		}
	}
}

// TestConnectionCut has an echo server end connections at rest. Raw TCP has no polite close: each is a loss.
func TestConnectionCut(t *testing.T) {
	for _, end := range []struct {
		close func(net.Conn)
		event int16
		errno string
	}{
		{func(net.Conn) {}, unix.POLLIN, "EOF"},
		{hangUp, unix.POLLHUP, "ECONNRESET"},
	} {
		t.Run(end.errno, func(t *testing.T) {
			s := serveEcho(t, func(s *server, c net.Conn, op int64, p []byte) bool {
				c.Write(p)
				if sometimes(op) {
					end.close(c)
					return false
				}
				return true
			})
			c := client(t, LongTCP(s.addr())).(*longTCPClient)
			got := map[Failure]int{}
			for seq := int64(1); seq <= operations; seq++ {
				got[c.Do(seq, time.Now().Add(ample)).Failure]++
				if sometimes(seq) && c.on != nil {
					awaitPoll(t, c.on, end.event)
				}
			}
			// Operations 3, 6 and 9 are echoed, and the connection then ends; 4, 7 and 10 find it so.
			want := map[Failure]int{{Class: OK}: operations - flaws, {ConnectionCut, end.errno}: flaws}
			if !maps.Equal(got, want) {
				t.Errorf("outcomes are %v, want %v", got, want)
			}
		})
	}
}

// TestRunFindsPlantedLosses runs a whole bench against a server that loses requests in seven ways at once, among many
// that it does not lose.
func TestRunFindsPlantedLosses(t *testing.T) {
	const every = 40
	kinds := map[int64]Failure{
		5:  {EOFBeforeResponse, "EOF"},
		10: {ResetBeforeResponse, "ECONNRESET"},
		15: {EOFMidResponse, "EOF"},
		20: {ResetMidResponse, "ECONNRESET"},
		25: {Class: WrongBytes},
		30: {WrongStatus, "500"},
		35: {WrongStatus, "404"},
	}
	s := serveHTTP(t, false, func(s *server, r request) bool {
		switch r.op % every {
		case 5:
			return false
		case 10:
			hangUp(r.wire)
			return false
		case 15:
			io.WriteString(r.w, r.response(200, r.right())[:40])
			return false
		case 20:
			io.WriteString(r.w, r.response(200, r.right())[:40])
			hangUp(r.wire)
			return false
		case 25:
			r.respond(200, "something else")
		case 30:
			r.respond(500, "oh")
		case 35:
			r.respond(404, "oh")
		default:
			r.answer()
		}
		return true
	})
	report, err := Run(t.Context(), Plan{
		Lanes:    []Lane{NewConnections(s.target(false)), KeepAlive(s.target(false))},
		Rate:     1000,
		Conns:    8,
		Timeout:  ample,
		Duration: time.Second,
		MaxLate:  1,
	})
	if err != nil {
		t.Fatal(err)
	}
	var lost int64
	for _, lane := range report.Lanes {
		want := map[Failure]int64{}
		for op := int64(1); op <= lane.Operations; op++ {
			if kind, planted := kinds[op%every]; planted {
				// Without a promise to keep its body, GET may answer anything.
				if kind.Class != WrongBytes || lane.Name == "http keep-alive" {
					want[kind]++
					lost++
				}
			}
		}
		got := map[Failure]int64{}
		for _, f := range lane.Failures {
			got[f.Failure] = f.Count
			if f.Sample == "" {
				t.Errorf("%s: no sample of %v", lane.Name, f.Failure)
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: failures of %d operations are %v, want %v", lane.Name, lane.Operations, got, want)
		}
		if lane.OK+lane.Lost+lane.ClientLimited != lane.Operations {
			t.Errorf("%s does not add up: %+v", lane.Name, lane)
		}
	}
	if v := report.Verdict; v.Lost != lost || v.Pass || report.LostBefore != lost {
		t.Errorf("verdict %+v with %d lost before upgrades, want a failure with %d lost", v, report.LostBefore, lost)
	}
	if lost == 0 {
		t.Error(fmt.Errorf("the run was over before anything could be lost"))
	}
}

// TestFaultless runs all lanes against servers without a fault: nothing may be lost.
func TestFaultless(t *testing.T) {
	good := func(s *server, r request) bool { r.answer("Baton-Generation: 1"); return true }
	plain, secure := serveHTTP(t, false, good), serveHTTP(t, true, good)
	echo := serveEcho(t, func(_ *server, c net.Conn, _ int64, p []byte) bool { c.Write(p); return true })
	report, err := Run(t.Context(), Plan{
		Lanes: []Lane{
			NewConnections(plain.target(false)), KeepAlive(plain.target(false)),
			NewConnections(secure.target(true)), KeepAlive(secure.target(true)),
			LongTCP(echo.addr()), NewTCP(echo.addr()),
		},
		Rate:     300,
		Conns:    20,
		Timeout:  ample,
		Duration: 2 * time.Second,
		MaxLate:  1,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, lane := range report.Lanes {
		if lane.Operations == 0 || lane.OK != lane.Operations || lane.Reopened != 0 {
			t.Errorf("%+v", lane)
		}
		if lane.Steady.Count != lane.OK || lane.Steady.P50 <= 0 || lane.Steady.Max < lane.Steady.P999 {
			t.Errorf("%s: latency %+v", lane.Name, lane.Steady)
		}
	}
	if !report.Verdict.Pass {
		t.Error(report.Verdict.Line)
	}
}
