package bench

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// TestStreamFlaws has HTTP/2 servers misbehave at every third stream. Each is found for what it is, and nothing else is.
func TestStreamFlaws(t *testing.T) {
	for _, flaw := range []struct {
		name            string
		handle          func(s *server, r h2Request) bool
		want            Failure
		refused, hidden bool
	}{
		{"refused stream", func(_ *server, r h2Request) bool {
			r.fr.WriteRSTStream(r.on, http2.ErrCodeRefusedStream)
			return true
		}, Failure{StreamRefused, "REFUSED_STREAM"}, true, true},
		{"reset", func(_ *server, r h2Request) bool {
			r.fr.WriteRSTStream(r.on, http2.ErrCodeInternal)
			return true
		}, Failure{StreamReset, "INTERNAL_ERROR"}, false, false},
		{"reset mid answer", func(_ *server, r h2Request) bool {
			r.header("200", false)
			r.fr.WriteData(r.on, false, []byte(r.body[:9]))
			r.fr.WriteRSTStream(r.on, http2.ErrCodeCancel)
			return true
		}, Failure{StreamReset, "CANCEL"}, false, false},
		{"GOAWAY with a lower last stream", func(_ *server, r h2Request) bool {
			r.fr.WriteGoAway(r.on-2, http2.ErrCodeNo, nil)
			return false
		}, Failure{StreamRefused, "GOAWAY"}, true, true},
		{"GOAWAY that promises, and EOF", func(_ *server, r h2Request) bool {
			r.fr.WriteGoAway(r.on, http2.ErrCodeNo, nil)
			return false
		}, Failure{GoAwayCut, "EOF"}, false, false},
		{"GOAWAY that promises, and RST", func(_ *server, r h2Request) bool {
			r.fr.WriteGoAway(r.on, http2.ErrCodeNo, nil)
			hangUp(r.wire)
			return false
		}, Failure{GoAwayCut, "ECONNRESET"}, false, false},
		{"EOF", func(*server, h2Request) bool { return false }, Failure{EOFBeforeResponse, "EOF"}, false, false},
		{"RST", func(_ *server, r h2Request) bool {
			hangUp(r.wire)
			return false
		}, Failure{ResetBeforeResponse, "ECONNRESET"}, false, false},
		{"EOF mid answer", func(_ *server, r h2Request) bool {
			r.header("200", false)
			return false
		}, Failure{EOFMidResponse, "EOF"}, false, false},
		{"RST mid answer", func(_ *server, r h2Request) bool {
			r.header("200", false)
			hangUp(r.wire)
			return false
		}, Failure{ResetMidResponse, "ECONNRESET"}, false, false},
		{"half a frame", func(_ *server, r h2Request) bool {
			r.w.Write([]byte{0, 0, 9, 1, 4, 0, 0})
			return false
		}, Failure{EOFBeforeResponse, "EOF"}, false, false},
		{"no frame", func(_ *server, r h2Request) bool {
			io.WriteString(r.w, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
			return false
		}, Failure{Class: WrongBytes}, false, false},
		{"DATA before HEADERS", func(_ *server, r h2Request) bool {
			r.fr.WriteData(r.on, true, []byte(r.body))
			return true
		}, Failure{Class: WrongBytes}, false, false},
		{"wrong bytes", func(_ *server, r h2Request) bool {
			r.respond("200", strings.ToUpper(r.body))
			return true
		}, Failure{Class: WrongBytes}, false, false},
		{"short body", func(_ *server, r h2Request) bool {
			r.respond("200", r.body[1:])
			return true
		}, Failure{Class: WrongBytes}, false, false},
		{"less than Content-Length", func(_ *server, r h2Request) bool {
			r.respond("200", r.body, "content-length", "999")
			return true
		}, Failure{Class: WrongBytes}, false, false},
		{"the answer to another", func(_ *server, r h2Request) bool {
			r.answer(strings.ToLower(idHeader), "bench-of-somebody-else")
			return true
		}, Failure{Class: WrongBytes}, false, false},
		{"wrong status", func(_ *server, r h2Request) bool {
			r.respond("503", r.body)
			return true
		}, Failure{WrongStatus, "503"}, false, false},
	} {
		for _, secure := range []bool{false, true} {
			s := serveH2(t, secure, func(s *server, r h2Request) bool {
				if sometimes(r.op) {
					return flaw.handle(s, r)
				}
				r.answer(strings.ToLower(idHeader), r.id)
				return true
			})
			lane := HTTP2(s.target(secure))
			t.Run(flaw.name+"/"+lane.Name(), func(t *testing.T) {
				c := client(t, lane)
				for seq := int64(1); seq <= operations; seq++ {
					r := c.Do(seq, time.Now().Add(ample))
					want, refused, hidden := Failure{Class: OK}, false, false
					if sometimes(seq) {
						want, refused, hidden = flaw.want, flaw.refused, flaw.hidden
					}
					if r.Failure != want || r.Refused != refused || r.Hidden != hidden || r.Duplicate {
						t.Errorf("%d: %v (%v), refused %v, hidden %v, duplicate %v; want %v, %v, %v",
							seq, r.Failure, r.Err, r.Refused, r.Hidden, r.Duplicate, want, refused, hidden)
					}
					// A connection that took streams with it did not end politely.
					if polite := flaw.want.Errno == "GOAWAY" && sometimes(seq-1); r.Renewed != polite {
						t.Errorf("%d: renewed %v, want %v", seq, r.Renewed, polite)
					}
				}
			})
		}
	}
}

// A server may hang on one stream; the connection serves the others.
func TestStreamHangs(t *testing.T) {
	s := serveH2(t, false, func(s *server, r h2Request) bool {
		if !sometimes(r.op) {
			r.answer()
		}
		return true
	})
	c := client(t, HTTP2(s.target(false))).(*h2Client)
	for seq := range int64(operations) {
		timeout, want := ample, Failure{Class: OK}
		if sometimes(seq) {
			timeout, want = brief, Failure{ResponseTimeout, "timeout"}
		}
		r := c.Do(seq, time.Now().Add(timeout))
		if r.Failure != want || (r.Opened > 0) != (seq == 0) {
			t.Errorf("%d: %v on %d new connections, want %v", seq, r.Failure, r.Opened, want)
		}
	}
	on := c.shared.on
	on.mu.Lock()
	defer on.mu.Unlock()
	if len(on.streams) != 0 {
		t.Errorf("%d streams are under way still", len(on.streams))
	}
}

// A GOAWAY or a close that comes between two streams loses nothing.
func TestStreamsMovePolitely(t *testing.T) {
	for _, polite := range []struct {
		name string
		end  func(r h2Request) bool
	}{
		{"GOAWAY", func(r h2Request) bool {
			r.fr.WriteGoAway(1<<31-1, http2.ErrCodeNo, nil)
			r.answer()
			return true
		}},
		{"GOAWAY and close", func(r h2Request) bool {
			r.fr.WriteGoAway(r.on, http2.ErrCodeNo, nil)
			r.answer()
			return false
		}},
	} {
		t.Run(polite.name, func(t *testing.T) {
			s := serveH2(t, false, func(_ *server, r h2Request) bool {
				if sometimes(r.op) {
					return polite.end(r)
				}
				r.answer()
				return true
			})
			carryOut(t, client(t, HTTP2(s.target(false))), operations, ample).
				expect(t, map[Failure]int{{Class: OK}: operations}, flaws)
		})
	}
}

// So does a close without a word, if it is seen before a stream is opened.
func TestStreamsFindTheConnectionClosed(t *testing.T) {
	s := serveH2(t, false, func(_ *server, r h2Request) bool {
		r.answer()
		return !sometimes(r.op)
	})
	c := client(t, HTTP2(s.target(false))).(*h2Client)
	got := outcomes{by: map[Failure]int{}}
	for seq := int64(1); seq <= operations; seq++ {
		r := c.Do(seq, time.Now().Add(ample))
		got.by[r.Failure]++
		if r.Renewed {
			got.renewed++
		}
		if sometimes(seq) {
			<-c.shared.on.over
		}
	}
	got.expect(t, map[Failure]int{{Class: OK}: operations}, flaws)
}

// A server that takes connections and turns them away before any stream is a loss, and no endless loop.
func TestStreamsAreNeverTaken(t *testing.T) {
	s := serveH2(t, false, func(_ *server, r h2Request) bool { r.answer(); return true })
	c := client(t, HTTP2(s.target(false))).(*h2Client)
	c.beforeOpen = func(on *h2Conn) {
		on.mu.Lock()
		on.goAway = &goAway{}
		on.leaveIfDone()
		on.mu.Unlock()
	}
	if r := c.Do(1, time.Now().Add(ample)); r.Class != ConnectionCut || r.Opened != 2 {
		t.Errorf("%v on %d connections", r.Failure, r.Opened)
	}
	c.beforeOpen = nil
	carryOut(t, c, 1, ample).expect(t, map[Failure]int{{Class: OK}: 1}, 1)
}

// TestStreamsTogether has ten clients on one connection, all of whose streams are open at once when the server tells
// them apart: it refuses those above the fifth, answers the first three, and cuts off the two between.
func TestStreamsTogether(t *testing.T) {
	arrived := make(chan uint32, streamsPerConn) // one connection: the handler is one goroutine
	var under []h2Request
	s := serveH2(t, true, func(_ *server, r h2Request) bool {
		if r.op == 0 {
			r.answer()
			return true
		}
		under = append(under, r)
		arrived <- r.on
		if len(under) < streamsPerConn {
			return true
		}
		for _, r := range under[:3] {
			r.answer()
		}
		r.fr.WriteGoAway(under[4].on, http2.ErrCodeNo, nil)
		return false
	})
	lane := HTTP2(s.target(true))
	if _, err := lane.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	results := make(chan Result, streamsPerConn)
	opened := 0
	for id := range streamsPerConn {
		c := lane.Client(t.Context(), id)
		defer c.Close()
		if r := c.Do(0, time.Now().Add(ample)); r.Class != OK {
			t.Fatal(r.Err)
		} else {
			opened += r.Opened
		}
		go func() { results <- c.Do(1, time.Now().Add(ample)) }()
		<-arrived // so that the streams are in order; all but the last wait on
	}
	got := map[Failure]int{}
	refused := 0
	for range streamsPerConn {
		r := <-results
		got[r.Failure]++
		if r.Refused {
			refused++
		}
	}
	want := map[Failure]int{{Class: OK}: 3, {GoAwayCut, "EOF"}: 2, {StreamRefused, "GOAWAY"}: 5}
	if fmt.Sprint(got) != fmt.Sprint(want) || refused != 5 || opened != 1 {
		t.Errorf("%v, %d refused, %d connections; want %v, 5, 1", got, refused, opened, want)
	}
}

// A body larger than the server's windows waits for them, and comes back whole.
func TestStreamFlowControl(t *testing.T) {
	for _, secure := range []bool{false, true} {
		target := serveAll(t, secure)
		target.Body = bytes.Repeat([]byte("0123456789abcde\n"), 256<<10/16)
		lane := HTTP2(target)
		c := client(t, lane)
		if !lane.(*h2Lane).want.echo && len(target.Body) <= maxCompared {
			t.Error("the echo is not compared")
		}
		carryOut(t, c, 8, ample).expect(t, map[Failure]int{{Class: OK}: 8}, 0)
	}
}

// x/net's own transport is the judge of what a retrying client hides: what it hides, and only that, is marked.
func TestHiddenAsTransportHidesStreams(t *testing.T) {
	for name, flaw := range map[string]func(r h2Request) bool{
		"refused":  func(r h2Request) bool { r.fr.WriteRSTStream(r.on, http2.ErrCodeRefusedStream); return true },
		"protocol": func(r h2Request) bool { r.fr.WriteRSTStream(r.on, http2.ErrCodeProtocol); return true },
		"internal": func(r h2Request) bool { r.fr.WriteRSTStream(r.on, http2.ErrCodeInternal); return true },
		"goaway":   func(r h2Request) bool { r.fr.WriteGoAway(r.on-2, http2.ErrCodeNo, nil); return false },
		"eof":      func(r h2Request) bool { return false },
	} {
		t.Run(name, func(t *testing.T) {
			var broken sync.Map // ids, so that what is sent again is answered
			s := serveH2(t, false, func(_ *server, r h2Request) bool {
				if _, again := broken.LoadOrStore(r.id, true); sometimes(r.op) && !again {
					return flaw(r)
				}
				r.answer()
				return true
			})
			c := client(t, HTTP2(s.target(false)))
			transport := &http.Transport{Protocols: new(http.Protocols)}
			transport.Protocols.SetUnencryptedHTTP2(true)
			defer transport.CloseIdleConnections()
			for seq := int64(1); seq <= 4; seq++ {
				r := c.Do(seq, time.Now().Add(ample))
				asked, err := http.NewRequest(http.MethodPost, "http://"+s.addr(), strings.NewReader("body"))
				if err != nil {
					t.Fatal(err)
				}
				asked.Header.Set(idHeader, fmt.Sprintf("oracle-%d", seq))
				resp, err := transport.RoundTrip(asked)
				if err == nil {
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				if hides := err == nil; r.Class != OK && r.Hidden != hides {
					t.Errorf("%d: %v, hidden %v; http.Transport says %v", seq, r.Failure, r.Hidden, err)
				}
				if (r.Class != OK) != sometimes(seq) {
					t.Errorf("%d: %v", seq, r.Failure)
				}
			}
		})
	}
}
