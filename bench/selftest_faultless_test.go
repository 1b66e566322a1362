package bench

import (
	"context"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestFaultlessUnderLoad runs every lane there is against servers without a fault, while the machine's CPUs are taken
// by others: nothing may be lost, however late everything is.
func TestFaultlessUnderLoad(t *testing.T) {
	plain, secure := serveAll(t, false), serveAll(t, true)
	var load sync.Once
	var stopped atomic.Bool
	defer stopped.Store(true)
	echo := serveEcho(t, func(_ *server, c net.Conn, op int64, p []byte) bool {
		if op > 0 { // not yet while the lanes are opened
			load.Do(func() { burn(&stopped) })
		}
		c.Write(p)
		return true
	})
	at := Targets{HTTP: &plain, HTTPS: &secure, TCP: echo.addr(), Hold: 20 * time.Millisecond}
	var lanes []Lane
	for _, info := range Lanes() {
		lane, err := NewLane(info.Name, at)
		if err != nil {
			t.Fatal(err)
		}
		lanes = append(lanes, lane)
	}

	report, err := Run(context.Background(), Plan{
		Lanes: lanes, Rate: 15, Conns: 12, Timeout: ample, Duration: time.Second, LateAfter: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Lanes) != len(lanes) {
		t.Errorf("%d of %d lanes", len(report.Lanes), len(lanes))
	}
	for _, lane := range report.Lanes {
		if lane.Operations == 0 || lane.OK != lane.Operations {
			t.Errorf("%s: %d of %d are well: %+v", lane.Name, lane.OK, lane.Operations, lane.Failures)
		}
		if strings.HasPrefix(lane.Name, "https") != (lane.HandshakesFull > 0) {
			t.Errorf("%s: %d full handshakes", lane.Name, lane.HandshakesFull)
		}
		if lane.Name == "https new resumed" && lane.HandshakesResumed == 0 {
			t.Errorf("%s: no session was resumed, %d handshakes in full", lane.Name, lane.HandshakesFull)
		}
	}
}

// burn takes every CPU that this process may have, until stopped is set.
func burn(stopped *atomic.Bool) {
	for range runtime.GOMAXPROCS(0) {
		go func() {
			for !stopped.Load() {
			}
		}()
	}
}

func TestNewLane(t *testing.T) {
	plain, secure := HTTP{Addr: "127.0.0.1:1"}, serverless(t)
	all := Targets{HTTP: &plain, HTTPS: &secure, TCP: "127.0.0.1:2"}
	seen := map[string]bool{}
	for _, info := range Lanes() {
		lane, err := NewLane(info.Name, all)
		if err != nil {
			t.Fatal(err)
		}
		if strings.ReplaceAll(lane.Name(), " ", "-") != info.Name || !strings.HasPrefix(info.Name, string(info.Needs)+"-") {
			t.Errorf("lane %q is listed as %q and needs %s", lane.Name(), info.Name, info.Needs)
		}
		if seen[info.Name] || info.Help == "" {
			t.Errorf("%q is there twice, or says nothing", info.Name)
		}
		seen[info.Name] = true
		if _, err := NewLane(lane.Name(), all); err != nil {
			t.Error(err)
		}
		if _, err := NewLane(info.Name, Targets{}); err == nil || !strings.Contains(err.Error(), "say where it is") {
			t.Errorf("%s without a target: %v", info.Name, err)
		}
	}
	if _, err := NewLane("ftp", all); err == nil || !strings.Contains(err.Error(), "http-keep-alive") {
		t.Error(err)
	}
}

func serverless(t *testing.T) HTTP {
	target, err := ParseHTTP("https", "127.0.0.1:3")
	if err != nil {
		t.Fatal(err)
	}
	return target
}
