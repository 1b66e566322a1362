package bench

import (
	"context"
	"flag"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

var plantedAmong = flag.Int("planted", 20_000, "requests among which TestPlanted hides its 37 losses")

// planted is what a server is to do to the next requests of a lane, each once.
type planted struct {
	mu    sync.Mutex
	kinds map[string][]Failure // by lane
	done  map[string]map[Failure]int64
}

func (p *planted) arm(kinds map[string][]Failure) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for lane, list := range kinds {
		p.kinds[lane] = append(p.kinds[lane], list...)
	}
}

// next returns what is to become of the request at hand: OK, most of the time.
func (p *planted) next(lane string, op int64) Failure {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.kinds[lane]
	if op <= 0 || len(list) == 0 {
		return Failure{Class: OK}
	}
	p.kinds[lane] = list[1:]
	if p.done[lane] == nil {
		p.done[lane] = map[Failure]int64{}
	}
	p.done[lane][list[0]]++
	return list[0]
}

// TestPlanted hides 37 losses of nine kinds among many requests, some before the first upgrade, and some after each. The
// report names just these, each in its class, in its lane, and next to its upgrade.
func TestPlanted(t *testing.T) {
	var (
		few   = map[string][]Failure{"http new": {{EOFBeforeResponse, "EOF"}}, "tcp long": {{EOFMidResponse, "EOF"}}}
		again = map[string][]Failure{"http keep-alive": {{Class: WrongBytes}}, "http h2c": {{StreamRefused, "REFUSED_STREAM"}}}
		nine  = map[string][]Failure{
			"http new":        {{EOFBeforeResponse, "EOF"}, {WrongStatus, "503"}, {ResetMidResponse, "ECONNRESET"}},
			"http keep-alive": {{Class: WrongBytes}, {ResetBeforeResponse, "ECONNRESET"}},
			"http websocket":  {{WebSocketClosed, "1012"}},
			"http h2c":        {{StreamRefused, "REFUSED_STREAM"}, {StreamReset, "INTERNAL_ERROR"}},
			"tcp long":        {{EOFMidResponse, "EOF"}},
		}
		more = map[string][]Failure{"http websocket": {{WebSocketClosed, "1012"}}, "tcp long": {{Class: WrongBytes}, {EOFMidResponse, "EOF"}}}
	)
	p := &planted{kinds: map[string][]Failure{}, done: map[string]map[Failure]int64{}}
	p.arm(few)
	p.arm(again)

	lanes := plantedLanes(t, p)
	const rate, upgrades = 1000, 3
	lasts := time.Duration(*plantedAmong) * time.Second / time.Duration(rate*len(lanes))
	upgraded := 0
	report, err := Run(context.Background(), Plan{
		Lanes: lanes, Rate: rate, Conns: 20, Timeout: ample, LateAfter: time.Hour,
		Upgrades: &Upgrades{
			Count: upgrades, Interval: lasts * 2 / (2*upgrades + 1),
			Trigger: func(context.Context) error {
				p.arm(nine)
				if upgraded++; upgraded > 1 {
					p.arm(more)
				}
				return nil
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var all int64
	kinds := map[Failure]bool{}
	for _, lane := range report.Lanes {
		got := map[Failure]int64{}
		for _, f := range lane.Failures {
			got[f.Failure] = f.Count
			kinds[f.Failure] = true
			all += f.Count
		}
		if !maps.Equal(got, p.done[lane.Name]) {
			t.Errorf("%s: failures of %d operations are %v, want %v", lane.Name, lane.Operations, got, p.done[lane.Name])
		}
	}
	if all != 37 || report.Verdict.Lost != 37 || len(kinds) != 9 {
		t.Errorf("%d losses of %d kinds, %d in the verdict; want 37 of 9", all, len(kinds), report.Verdict.Lost)
	}
	t.Logf("%d requests", report.Verdict.Requests)
	if n := report.Verdict.Requests; n < int64(*plantedAmong)/2 { // a machine that is busy elsewhere makes it fewer
		t.Errorf("only %d requests", n)
	}
	var by []int64
	for _, u := range report.Upgrades {
		by = append(by, u.Lost)
	}
	if report.LostBefore != 4 || !slices.Equal(by, []int64{9, 12, 12}) {
		t.Errorf("%d lost before the upgrades, then %v; want 4, then 9, 12, 12", report.LostBefore, by)
	}
}

// plantedLanes returns lanes to servers that do what is planted.
func plantedLanes(t *testing.T, p *planted) []Lane {
	web := serveHTTP(t, false, func(_ *server, r request) bool {
		lane := "http keep-alive"
		if r.Method == "GET" {
			lane = "http new"
		}
		switch p.next(lane, r.op).Class {
		case EOFBeforeResponse:
			return false
		case ResetBeforeResponse:
			hangUp(r.wire)
			return false
		case ResetMidResponse:
			io.WriteString(r.w, r.response(200, r.right())[:40])
			hangUp(r.wire)
			return false
		case WrongBytes:
			r.respond(200, "something else")
		case WrongStatus:
			r.respond(503, "oh")
		default:
			r.answer()
		}
		return true
	})
	streams := serveH2(t, false, func(_ *server, r h2Request) bool {
		switch p.next("http h2c", r.op).Class {
		case StreamRefused:
			r.fr.WriteRSTStream(r.on, http2.ErrCodeRefusedStream)
		case StreamReset:
			r.fr.WriteRSTStream(r.on, http2.ErrCodeInternal)
		default:
			r.answer()
		}
		return true
	})
	sockets := serveWebSocket(t, func(_ *server, c net.Conn, op int64, payload []byte) bool {
		if p.next("http websocket", op).Class == WebSocketClosed {
			c.Write(serverFrame(opClose, true, []byte{3, 244}))
			return false
		}
		c.Write(serverFrame(opText, true, payload))
		return true
	})
	echo := serveEcho(t, func(_ *server, c net.Conn, op int64, payload []byte) bool {
		switch p.next("tcp long", op).Class {
		case EOFMidResponse:
			c.Write(payload[:5])
			return false
		case WrongBytes:
			payload[9] ^= 1
		}
		c.Write(payload)
		return true
	})
	return []Lane{
		NewConnections(web.target(false)), KeepAlive(web.target(false)), HTTP2(streams.target(false)),
		WebSocket(sockets.target(false)), LongTCP(echo.addr()),
	}
}
