//go:build unix

package bench

import (
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
			if err != nil || n != 1 || fds[0].Revents&(events|unix.POLLHUP|unix.POLLERR) == 0 {
				t.Errorf("poll: %d events, %v, %#x", n, err, fds[0].Revents)
			}
			return
		}
	})
	if err != nil {
		t.Error(err)
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
		Rate:      300,
		Conns:     20,
		Timeout:   ample,
		Duration:  2 * time.Second,
		LateAfter: time.Hour,
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
