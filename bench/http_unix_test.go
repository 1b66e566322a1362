//go:build unix

package bench

import (
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

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
			for _, make := range oneRequestLanes(secure) {
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

// oneRequestLanes are the lanes of HTTP/1.1 whose operations are one request each.
func oneRequestLanes(secure bool) []func(HTTP) Lane {
	if secure {
		return []func(HTTP) Lane{NewConnections, NewResumed, KeepAlive, func(t HTTP) Lane { return HalfOpen(t, short) }}
	}
	return []func(HTTP) Lane{
		NewConnections, KeepAlive,
		func(t HTTP) Lane { return Halves(t, short) },
		func(t HTTP) Lane { return Silent(t, short) },
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
				// Nothing of a write that fails at once has left, so http.Transport sends even a POST again.
				hidden := end.want.Class == WriteFailed
				if r := c.Do(2, time.Now().Add(ample)); r.Failure != end.want || r.Opened != 0 || r.Hidden != hidden {
					t.Errorf("%v with %d connections opened, hidden %v; want %v with none, hidden %v",
						r.Failure, r.Opened, r.Hidden, end.want, hidden)
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
