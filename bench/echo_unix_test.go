//go:build unix

package bench

import (
	"maps"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestEchoFlaws has echo servers misbehave, in the TCP lanes whose operations are one echo each.
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
		for _, make := range []func(string) Lane{LongTCP, NewTCP, func(addr string) Lane { return SilentTCP(addr, short) }} {
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
