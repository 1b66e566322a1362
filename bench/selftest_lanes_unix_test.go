//go:build unix

package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// connectionEndings are the ways in which a server ends a connection, and what tells the client's socket of it.
var connectionEndings = []struct {
	name  string
	do    func(net.Conn)
	event int16
	errno string
}{
	{"FIN", func(c net.Conn) { c.Close() }, unix.POLLIN, "EOF"},
	{"RST", hangUp, unix.POLLHUP, "ECONNRESET"},
}

// A connection that is ended before anything was said on it is a loss.
func TestSilentIsCut(t *testing.T) {
	for _, end := range connectionEndings {
		for _, secure := range []bool{false, true} {
			now := make(chan bool)
			cutting := false
			answering := serveHTTP(t, secure, func(_ *server, r request) bool { r.answer(); return true })
			c := client(t, Silent(answering.target(secure), short)).(*timedClient[*httpClient])
			s := serveEach(t, func(s *server, wire net.Conn, _ int) {
				<-now
				end.do(wire)
			})
			c.client.dialer.addr = s.addr()
			c.client.beforeSend = func(on *conn) {
				cutting = true
				now <- true
				awaitPoll(t, on, end.event)
			}
			t.Run(end.name+"/"+c.client.lane.name, func(t *testing.T) {
				carryOut(t, c, flaws, ample).expect(t, map[Failure]int{{ConnectionCut, end.errno}: flaws}, 0)
				if !cutting {
					t.Error("no connection was cut")
				}
			})
		}
	}
}

// A connection that ends between the two halves of a request.
func TestHalvesAreCut(t *testing.T) {
	for _, end := range connectionEndings {
		t.Run(end.name, func(t *testing.T) {
			now := make(chan bool)
			answering := serveHTTP(t, false, func(_ *server, r request) bool { r.answer(); return true })
			c := client(t, Halves(answering.target(false), short)).(*timedClient[*httpClient])
			s := serveEach(t, func(s *server, wire net.Conn, _ int) {
				buf := make([]byte, 10)
				io.ReadFull(wire, buf)
				<-now
				end.do(wire)
			})
			c.client.dialer.addr = s.addr()
			c.client.beforeSend = func(on *conn) {
				now <- true
				awaitPoll(t, on, end.event)
			}
			r := c.Do(1, time.Now().Add(ample))
			if r.Hidden || r.Class != WriteFailed && r.Class != ResetBeforeResponse && r.Class != EOFBeforeResponse {
				t.Errorf("%v, hidden %v", r.Failure, r.Hidden)
			}
		})
	}
}

// The halves of requests are cut within the header and within the body, in turn, and the server gets nothing before
// the wait but the first half.
func TestHalvesAreHalves(t *testing.T) {
	s := serveHTTP(t, false, func(_ *server, r request) bool { r.answer(); return true })
	c := client(t, Halves(s.target(false), short)).(*timedClient[*httpClient])
	var firsts []string
	near := serveEach(t, func(_ *server, wire net.Conn, _ int) {
		buf := make([]byte, 4<<10)
		n, _ := wire.Read(buf)
		firsts = append(firsts, string(buf[:n]))
		s.gate <- true
		asked, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader(string(buf[:n])), wire)))
		if err != nil {
			t.Error(err)
			return
		}
		body, _ := io.ReadAll(asked.Body)
		fmt.Fprintf(wire, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	})
	c.client.dialer.addr = near.addr()
	c.client.beforeSend = func(*conn) { <-s.gate }
	carryOut(t, c, 2, ample).expect(t, map[Failure]int{{Class: OK}: 2}, 0)
	if !strings.Contains(firsts[0], "\r\n\r\n") || strings.HasSuffix(firsts[0], "\n") {
		t.Errorf("the first half of request 1 is not cut in the body: %q", firsts[0])
	}
	if strings.Contains(firsts[1], "\r\n\r\n") {
		t.Errorf("the first half of request 2 is not cut in the header: %q", firsts[1])
	}
}

// In the idle lane a close that is seen is none; one that crosses the second request is a loss that a retrying client
// would have hidden.
func TestIdleCloses(t *testing.T) {
	for _, secure := range []bool{false, true} {
		for _, end := range connectionEndings {
			now := make(chan bool)
			s := serveHTTP(t, secure, func(s *server, r request) bool {
				r.answer()
				if r.op == 6 || r.op == 8 { // the first requests of operations 3 and 4
					<-now
					end.do(r.wire)
					return false
				}
				return true
			})
			lane := Idle(s.target(secure), short)
			t.Run(end.name+"/"+lane.Name(), func(t *testing.T) {
				c := client(t, lane).(*timedClient[*keepAliveClient])
				c.client.beforeSend = func(on *conn) {
					if c.Waited() > 0 && strings.HasSuffix(string(c.client.ident), "-7") {
						now <- true
						awaitPoll(t, on, end.event)
					}
				}
				for seq := int64(1); seq <= 3; seq++ {
					r := c.Do(seq, time.Now().Add(ample))
					if seq < 3 && (r.Class != OK || r.Opened != 1) {
						t.Errorf("%d: %v on %d connections", seq, r.Failure, r.Opened)
					}
					if seq == 3 && (!r.Hidden || r.Class != EOFBeforeResponse && r.Class != WriteFailed && r.Class != ResetBeforeResponse) {
						t.Errorf("%d: %v, hidden %v", seq, r.Failure, r.Hidden)
					}
				}
				// Operation 4's connection is ended while it waits.
				c.of.pause = ample
				over := make(chan struct{})
				go func() {
					now <- true
					for c.of.waiting() == 0 {
						time.Sleep(time.Millisecond)
					}
					awaitPoll(t, c.client.on, end.event)
					lane.(Timed).Around(over)
					close(over)
				}()
				if r := c.Do(4, time.Now().Add(2*ample)); r.Class != OK || !r.Renewed || r.Opened != 2 {
					t.Errorf("4: %v, renewed %v, %d connections", r.Failure, r.Renewed, r.Opened)
				}
			})
		}
	}
}

// TestPipelineFlaws has a server misbehave at the third request of a batch of four.
func TestPipelineFlaws(t *testing.T) {
	for _, flaw := range []struct {
		name              string
		handle            func(r request) bool
		want              Failure
		hidden, duplicate bool
	}{
		{"close announced", func(r request) bool { r.answer("Connection: close"); return false },
			Failure{EOFBeforeResponse, "EOF"}, true, false},
		{"EOF", func(r request) bool { return false }, Failure{EOFBeforeResponse, "EOF"}, true, false},
		{"mid answer", func(r request) bool { io.WriteString(r.w, r.response(200, "ok")[:40]); return false },
			Failure{EOFMidResponse, "EOF"}, false, false},
		{"wrong status", func(r request) bool { r.respond(500, "oh"); return true }, Failure{WrongStatus, "500"}, false, false},
		{"wrong bytes", func(r request) bool { r.respond(200, "oh"); return true }, Failure{Class: WrongBytes}, false, false},
		{"answer to another", func(r request) bool { r.answer(idHeader + ": other"); return true },
			Failure{Class: WrongBytes}, false, false},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			s := serveHTTP(t, false, func(_ *server, r request) bool {
				if r.op%pipelineDepth == 2 && sometimes(r.op/pipelineDepth) {
					return flaw.handle(r)
				}
				r.answer(idHeader + ": " + r.Header.Get(idHeader))
				return true
			})
			at := s.target(false)
			at.SameBody, at.Method = true, method
			c := client(t, Pipelined(at))
			for seq := int64(1); seq <= operations; seq++ {
				r := c.Do(seq, time.Now().Add(ample))
				want, hidden := Failure{Class: OK}, false
				if sometimes(seq) {
					// A POST is not sent again, unless the server has said that it would not look at it.
					want, hidden = flaw.want, flaw.hidden && (method == http.MethodGet || flaw.name == "close announced")
				}
				if r.Failure.Class == ResetBeforeResponse && want.Class == EOFBeforeResponse {
					want.Class, want.Errno = ResetBeforeResponse, "ECONNRESET" // the fourth request was never read
				}
				if r.Failure != want || r.Hidden != hidden || r.Duplicate != flaw.duplicate {
					t.Errorf("%s, %s %d: %v (%v), hidden %v, duplicate %v; want %v, %v",
						flaw.name, method, seq, r.Failure, r.Err, r.Hidden, r.Duplicate, want, hidden)
				}
			}
		}
	}
}

// TestStreamIsTorn has a server that echoes a POST as it comes misbehave after its first piece.
func TestStreamIsTorn(t *testing.T) {
	for _, flaw := range []struct {
		name string
		do   func(c net.Conn, chunk func(string))
		want Failure
	}{
		{"EOF", func(net.Conn, func(string)) {}, Failure{EOFMidResponse, "EOF"}},
		{"RST", func(c net.Conn, _ func(string)) { hangUp(c) }, Failure{ResetMidResponse, "ECONNRESET"}},
		{"wrong bytes", func(_ net.Conn, chunk func(string)) { chunk(strings.Repeat("x", 43)) }, Failure{Class: WrongBytes}},
		{"ends early", func(c net.Conn, _ func(string)) { io.WriteString(c, "0\r\n\r\n") }, Failure{Class: WrongBytes}},
	} {
		t.Run(flaw.name, func(t *testing.T) {
			s := serveEach(t, func(s *server, wire net.Conn, _ int) {
				asked, err := http.ReadRequest(bufio.NewReader(wire))
				if err != nil {
					return
				}
				id := asked.Header.Get(idHeader)
				op := int64(id[len(id)-1] - '0')
				chunk := func(text string) { fmt.Fprintf(wire, "%x\r\n%s\r\n", len(text), text) }
				io.WriteString(wire, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
				buf := make([]byte, payloadSize)
				for piece := 0; ; piece++ {
					n, err := asked.Body.Read(buf)
					if piece == 1 && sometimes(op) {
						flaw.do(wire, chunk)
						return
					}
					if n > 0 {
						chunk(string(buf[:n]))
					}
					if err != nil {
						io.WriteString(wire, "0\r\n\r\n")
						return
					}
				}
			})
			carryOut(t, client(t, Stream(s.target(false), short)), operations-1, ample).
				expect(t, map[Failure]int{{Class: OK}: operations - 1 - flaws, flaw.want: flaws}, 0)
		})
	}
}

// A server that does not echo as it reads is told so before the run, and may name a path that streams instead.
func TestStreamNeedsAnEcho(t *testing.T) {
	s := serveHTTP(t, false, func(_ *server, r request) bool { r.respond(200, "all the same"); return true })
	ctx, cancel := context.WithTimeout(t.Context(), brief)
	defer cancel()
	_, err := Stream(s.target(false), short).Probe(ctx)
	if err == nil || !strings.Contains(err.Error(), "not echoed as it comes") {
		t.Error(err)
	}
	at := s.target(false)
	at.StreamPath = "/events"
	c := client(t, Stream(at, short))
	carryOut(t, c, flaws, ample).expect(t, map[Failure]int{{Class: OK}: flaws}, 0)
}

// TestWebSocketFlaws has a server misbehave at every third message.
func TestWebSocketFlaws(t *testing.T) {
	for _, flaw := range []struct {
		name string
		do   func(c net.Conn, p []byte) bool
		want Failure
	}{
		{"EOF", func(net.Conn, []byte) bool { return false }, Failure{EOFBeforeResponse, "EOF"}},
		{"RST", func(c net.Conn, _ []byte) bool { hangUp(c); return false }, Failure{ResetBeforeResponse, "ECONNRESET"}},
		{"EOF mid message", func(c net.Conn, p []byte) bool { c.Write(serverFrame(opText, true, p)[:9]); return false },
			Failure{EOFMidResponse, "EOF"}},
		{"EOF after a ping", func(c net.Conn, p []byte) bool {
			c.Write(serverFrame(opPing, true, nil))
			readMasked(c) // a pong that nobody has read would make the close a reset
			return false
		}, Failure{EOFBeforeResponse, "EOF"}},
		{"close frame", func(c net.Conn, _ []byte) bool {
			c.Write(serverFrame(opClose, true, []byte("\x03\xe9bye")))
			return true
		},
			Failure{WebSocketClosed, "1001"}},
		{"close frame without a code", func(c net.Conn, _ []byte) bool { c.Write(serverFrame(opClose, true, nil)); return true },
			Failure{WebSocketClosed, "1005"}},
		{"wrong bytes", func(c net.Conn, p []byte) bool { p[20] ^= 1; c.Write(serverFrame(opText, true, p)); return true },
			Failure{Class: WrongBytes}},
		{"masked", func(c net.Conn, p []byte) bool { c.Write(appendFrame(nil, opText, p)); return true }, Failure{Class: WrongBytes}},
		{"reserved bits", func(c net.Conn, _ []byte) bool { c.Write([]byte{0xf1, 0}); return true }, Failure{Class: WrongBytes}},
		{"unknown opcode", func(c net.Conn, _ []byte) bool { c.Write([]byte{0x83, 0}); return true }, Failure{Class: WrongBytes}},
		{"far too long", func(c net.Conn, _ []byte) bool {
			c.Write([]byte{0x81, 127, 0, 0, 1, 0, 0, 0, 0, 0})
			return true
		}, Failure{Class: WrongBytes}},
		{"half a code", func(c net.Conn, _ []byte) bool { c.Write(serverFrame(opClose, true, []byte{3})); return true },
			Failure{Class: WrongBytes}},
		{"continues nothing", func(c net.Conn, p []byte) bool { c.Write(serverFrame(opContinuation, true, p)); return true },
			Failure{Class: WrongBytes}},
		{"begins twice", func(c net.Conn, p []byte) bool {
			c.Write(serverFrame(opText, false, p[:7]))
			c.Write(serverFrame(opText, true, p[7:]))
			return true
		}, Failure{Class: WrongBytes}},
		{"EOF after an empty piece", func(c net.Conn, _ []byte) bool { c.Write(serverFrame(opText, false, nil)); return false },
			Failure{EOFMidResponse, "EOF"}},
		{"in pieces, with pings between", func(c net.Conn, p []byte) bool {
			c.Write(serverFrame(opText, false, p[:7]))
			c.Write(serverFrame(opPing, true, []byte("are you there")))
			c.Write(serverFrame(opContinuation, false, nil))
			c.Write(serverFrame(opContinuation, true, p[7:]))
			return true
		}, Failure{Class: OK}},
	} {
		t.Run(flaw.name, func(t *testing.T) {
			s := serveWebSocket(t, func(_ *server, c net.Conn, op int64, p []byte) bool {
				if sometimes(op) {
					return flaw.do(c, p)
				}
				c.Write(serverFrame(opText, true, p))
				return true
			})
			want := map[Failure]int{{Class: OK}: operations - flaws}
			want[flaw.want] += flaws
			carryOut(t, client(t, WebSocket(s.target(false))), operations, ample).expect(t, want, 0)
		})
	}
}

// TestWebSocketAtRest has a server speak, or leave, between two messages.
func TestWebSocketAtRest(t *testing.T) {
	for _, flaw := range []struct {
		name      string
		do        func(c net.Conn, p []byte) bool
		event     int16
		want      Failure
		duplicate bool
	}{
		{"FIN", func(net.Conn, []byte) bool { return false }, unix.POLLIN, Failure{ConnectionCut, "EOF"}, false},
		{"RST", func(c net.Conn, _ []byte) bool { hangUp(c); return false }, unix.POLLHUP, Failure{ConnectionCut, "ECONNRESET"}, false},
		{"close frame", func(c net.Conn, _ []byte) bool { c.Write(serverFrame(opClose, true, []byte("\x03\xf4"))); return false },
			unix.POLLIN, Failure{WebSocketClosed, "1012"}, false},
		{"ping", func(c net.Conn, _ []byte) bool { c.Write(serverFrame(opPing, true, nil)); return true }, unix.POLLIN, Failure{Class: OK}, false},
		{"message", func(c net.Conn, _ []byte) bool { c.Write(serverFrame(opText, true, []byte("news"))); return true },
			unix.POLLIN, Failure{Class: WrongBytes}, false},
		{"echo again", func(c net.Conn, p []byte) bool { c.Write(serverFrame(opText, true, p)); return true },
			unix.POLLIN, Failure{Class: WrongBytes}, true},
	} {
		t.Run(flaw.name, func(t *testing.T) {
			s := serveWebSocket(t, func(s *server, c net.Conn, op int64, p []byte) bool {
				c.Write(serverFrame(opText, true, p))
				if op == 1 {
					<-s.gate
					return flaw.do(c, p)
				}
				return true
			})
			c := client(t, WebSocket(s.target(false))).(*webSocketClient)
			if r := c.Do(1, time.Now().Add(ample)); r.Class != OK {
				t.Fatal(r.Err)
			}
			s.gate <- true
			awaitPoll(t, c.on, flaw.event)
			if r := c.Do(2, time.Now().Add(ample)); r.Failure != flaw.want || r.Hidden || r.Duplicate != flaw.duplicate {
				t.Errorf("%v (%v), hidden %v, duplicate %v; want %v", r.Failure, r.Err, r.Hidden, r.Duplicate, flaw.want)
			}
			if r := c.Do(3, time.Now().Add(ample)); r.Class != OK {
				t.Error(r.Err)
			}
		})
	}
}
