package bench

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRunRefusesWhatItCannotReach(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	for _, lane := range []Lane{NewConnections(HTTP{Addr: addr}), KeepAlive(HTTP{Addr: addr}), LongTCP(addr), NewTCP(addr)} {
		_, err := Run(t.Context(), Plan{Lanes: []Lane{lane}})
		if err == nil || !strings.HasPrefix(err.Error(), lane.Name()+": cannot reach the server") || !strings.Contains(err.Error(), addr) {
			t.Errorf("%v", err)
		}
	}
}

func TestRunRefusesWhatDoesNotAnswerAsItMust(t *testing.T) {
	var n atomic.Int64
	status := func(of func() int) string {
		return serveHTTP(t, false, func(_ *server, r request) bool { r.respond(of(), ""); return true }).addr()
	}
	silent := serveEach(t, func(s *server, c net.Conn, _ int) {
		buf := make([]byte, payloadSize)
		c.Read(buf)
	})
	for want, lane := range map[string]Lane{
		"status 502":                      KeepAlive(HTTP{Addr: status(func() int { return 502 })}),
		"by status 201 and then by":       NewConnections(HTTP{Addr: status(func() int { return int(200 + n.Add(1)) })}),
		"no echo from":                    NewTCP(silent.addr()),
		"no answer from " + silent.addr(): KeepAlive(silent.target(false)),
	} {
		if _, err := Run(t.Context(), Plan{Lanes: []Lane{lane}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// A server that does not echo POSTs, or has none, is held to what it answered and to nothing more.
func TestForeignServerIsHeldToWhatItAnswered(t *testing.T) {
	for _, status := range []int{204, 301, 405, 501} {
		s := serveHTTP(t, false, func(_ *server, r request) bool {
			if status == 204 {
				io.WriteString(r.w, "HTTP/1.1 204 No Content\r\n\r\n")
				return true
			}
			r.respond(status, "not here, "+r.Header.Get("X-Request-Id"))
			return true
		})
		c := client(t, KeepAlive(s.target(false)))
		carryOut(t, c, operations, ample).expect(t, map[Failure]int{{Class: OK}: operations}, 0)
	}
}

func TestRunOpensPersistentConnectionsFirst(t *testing.T) {
	var n int
	warm := fake{name: "a", persistent: true, do: func(seq int64, _ time.Time) Result {
		n++
		if n == 3 {
			return Result{Failure: Failure{Class: ConnectRefused}, Err: errors.New("full up")}
		}
		if seq != 0 {
			t.Errorf("operation %d before all connections stand", seq)
		}
		return Result{Failure: Failure{Class: OK}}
	}}
	_, err := Run(t.Context(), Plan{Lanes: []Lane{warm}, Conns: 5})
	if err == nil || err.Error() != "a: connection 3 of 5: full up" {
		t.Error(err)
	}
}

// A server that hangs for the whole run makes operations queue up to a bound; beyond it they are the client's own.
func TestBacklogIsBoundedAndTheClientsOwn(t *testing.T) {
	quit := make(chan struct{})
	hang := fake{name: "hang", do: func(int64, time.Time) Result {
		<-quit
		return Result{Failure: Failure{ResponseTimeout, "timeout"}, Err: errors.New("timeout")}
	}}
	report, err := Run(t.Context(), Plan{
		Lanes: []Lane{hang}, Rate: 10000, Outstanding: 3, Timeout: time.Millisecond, Duration: 200 * time.Millisecond,
		Progress: func(Progress) {},
		Upgrades: &Upgrades{Count: 1, LeadIn: 150 * time.Millisecond, Interval: time.Millisecond,
			Timeout: 20 * time.Millisecond, // since nothing ever answers
			Trigger: func(context.Context) error { close(quit); return nil }},
	})
	if err != nil {
		t.Fatal(err)
	}
	lane := report.Lanes[0]
	if lane.ClientLimited == 0 || lane.Lost < 3 || lane.ClientLimited+lane.Lost != lane.Operations {
		t.Errorf("%+v", lane)
	}
	if !report.Verdict.Void || report.Verdict.Pass {
		t.Errorf("%+v", report.Verdict)
	}
}

func TestInterruptedRunReportsWhatThereIs(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := serveHTTP(t, false, func(s *server, r request) bool {
		if r.op == 20 {
			cancel()
			<-s.quit // what was under way is forgotten, not lost
			return false
		}
		r.answer()
		return true
	})
	report, err := Run(ctx, Plan{
		Lanes: []Lane{NewConnections(s.target(false)), KeepAlive(s.target(false))},
		Rate:  100, Conns: 2, Timeout: ample, Duration: time.Hour, MaxLate: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	v := report.Verdict
	if !report.Interrupted || v.Pass || v.Lost != 0 || v.Requests == 0 || !strings.HasPrefix(v.Line, "INTERRUPTED: 0 of") {
		t.Errorf("%+v", report)
	}
}

func TestPanicsEndTheRunAndNotTheProcess(t *testing.T) {
	bad := fake{name: "bad", do: func(int64, time.Time) Result { panic("a bug") }}
	_, err := Run(t.Context(), Plan{Lanes: []Lane{bad}})
	if err == nil || !strings.Contains(err.Error(), "a bug") || !strings.Contains(err.Error(), "run_test.go") {
		t.Errorf("%v, want the panic and its stack", err)
	}
}

// TestEveryOperationIsCountedOnce: whatever clients do, what was due is what is reported.
func TestEveryOperationIsCountedOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		classes := rapid.SliceOfN(rapid.SampledFrom([]Class{OK, ConnectRefused, WrongBytes, ClientPorts}), 1, 20).Draw(rt, "classes")
		var did atomic.Int64
		lane := fake{name: "x", persistent: rapid.Bool().Draw(rt, "persistent"), do: func(seq int64, _ time.Time) Result {
			r := Result{Failure: Failure{Class: OK}}
			if seq == 0 {
				return r
			}
			did.Add(1)
			if r.Class = classes[seq%int64(len(classes))]; r.Class != OK {
				r.Err = errors.New("planted")
			}
			return r
		}}
		report, err := Run(context.Background(), Plan{
			Lanes: []Lane{lane}, Rate: 20000, Conns: rapid.IntRange(1, 9).Draw(rt, "conns"), Outstanding: 5,
			Duration: 3 * time.Millisecond, Timeout: ample, MaxLate: 1,
		})
		if err != nil {
			rt.Fatal(err)
		}
		want := map[Class]int64{}
		for seq := int64(1); seq <= did.Load(); seq++ {
			want[classes[seq%int64(len(classes))]]++
		}
		l := report.Lanes[0]
		if l.Operations != did.Load() || l.OK != want[OK] || l.Lost != want[ConnectRefused]+want[WrongBytes] ||
			l.ClientLimited != want[ClientPorts] {
			rt.Errorf("%d operations %v are reported as %+v", did.Load(), want, l)
		}
	})
}
