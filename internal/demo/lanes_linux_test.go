package demo

import (
	"crypto/tls"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/bench"
)

// No kind of client that the bench has loses a request when the demo is upgraded, but one. WebSockets lose none, since the
// processes that have them may drain for longer than the test takes.
//
// The one is "https pipelined": TLS connections do not move, so each ends by "Connection: close" in its next answer, and
// what was sent behind that request is not answered. A client must expect that, and may ask again (RFC 9112, 9.6).
func TestNoLaneLosesARequest(t *testing.T) {
	p := start(t)
	plain, err := bench.ParseHTTP("http", p.http)
	if err != nil {
		t.Fatal(err)
	}
	secure, err := bench.ParseHTTP("https", p.https)
	if err != nil {
		t.Fatal(err)
	}
	secure.TLS = &tls.Config{InsecureSkipVerify: true}
	for _, target := range []*bench.HTTP{&plain, &secure} {
		target.GenerationHeader, target.WebSocketPath = GenerationHeader, webSocketPath
	}
	plan := bench.Plan{
		Rate: 20, Conns: 4, Timeout: 20 * time.Second, LateAfter: time.Minute,
		Upgrades: &bench.Upgrades{
			Count: 2, Interval: 1500 * time.Millisecond, Trigger: bench.SignalPIDFile(p.pidFile, syscall.SIGHUP), PIDFile: p.pidFile,
		},
		Allow: []bench.Allowance{{
			Lane: "https pipelined", Classes: []bench.Class{bench.EOFBeforeResponse, bench.ResetBeforeResponse},
			Because: "what follows an answer with Connection: close is not answered",
		}},
	}
	for _, info := range bench.Lanes() {
		lane, err := bench.NewLane(info.Name, bench.Targets{HTTP: &plain, HTTPS: &secure, TCP: p.tcp})
		if err != nil {
			t.Fatal(err)
		}
		plan.Lanes = append(plan.Lanes, lane)
	}
	report, err := bench.Run(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range report.Lanes {
		most := int64(plan.Conns * plan.Upgrades.Count) // once for each connection and upgrade
		if l.OK == 0 || l.OK+l.Allowed != l.Operations || l.Allowed > most || l.HiddenByRetry != l.Allowed || l.Watched != l.Opened {
			t.Errorf("%s: %d of %d, %d of %d connections watched: %+v", l.Name, l.OK, l.Operations, l.Watched, l.Opened, l.Failures)
		}
		cut := strings.HasSuffix(l.Name, " websocket") || strings.HasPrefix(l.Name, "tcp ")
		if cut && l.Reopened > 0 {
			t.Errorf("%s: %d connections had to be opened again", l.Name, l.Reopened)
		}
		t.Logf("%s: %d operations, %d connections, %d reopened, upgrading p50 %.1f ms, max %.1f ms, stall %.0f ms", l.Name,
			l.Operations, l.Opened, l.Reopened, l.Upgrading.P50, l.Upgrading.Max, l.Stall)
	}
	if len(report.Upgrades) != 2 || !report.Verdict.Pass {
		t.Errorf("%s; %+v", report.Verdict.Line, report.Upgrades)
	}
}
