package upstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-e3b9a99f/baton/proxy/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	anyone    = netip.MustParseAddr("192.0.2.7")
	errBroken = errors.New("broken")
)

// three is an upstream whose servers nobody connects to.
func three() config.Upstream {
	return config.Upstream{
		Servers:  []string{"a:1", "b:1", "c:1"},
		Ejection: config.Ejection{Failures: 3, Duration: 10 * time.Second},
	}
}

// begin starts a pool whose servers are asked by a function of the test's. It is closed at the end of the test.
func begin(t testing.TB, cfg config.Upstream, opts Options, ask func(context.Context, *Server) error) *Pool {
	t.Helper()
	p, err := newPool("app", cfg, opts)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Health != nil {
		p.ask = ask
	}
	p.start()
	t.Cleanup(p.Close)
	return p
}

// pick picks and fails the test where it cannot.
func pick(t testing.TB, p *Pool, tried ...*Server) *Lease {
	t.Helper()
	l, err := p.Pick(anyone, tried)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// leaseOf picks the server with that address, whatever the balance.
func leaseOf(t testing.TB, p *Pool, address string) *Lease {
	t.Helper()
	var others []*Server
	for _, s := range p.servers {
		if s.address != address {
			others = append(others, s)
		}
	}
	return pick(t, p, others...)
}

// fail has connections to a server fail.
func fail(t testing.TB, p *Pool, address string, times int) {
	t.Helper()
	for range times {
		l := leaseOf(t, p, address)
		l.Failed(errBroken)
		l.Release()
	}
}

// states returns the servers' states in the order of the configuration, such as "up down ejected".
func states(p *Pool) string {
	var text string
	for i, s := range p.Status() {
		if i > 0 {
			text += " "
		}
		text += s.State
	}
	return text
}

func wantStates(t testing.TB, p *Pool, want string) {
	t.Helper()
	if got := states(p); got != want {
		t.Fatalf("states: %s, want %s", got, want)
	}
}

// journal is a slog.Handler that keeps what it is told, one "message: server from>to: why" a line.
type journal struct {
	mu    sync.Mutex
	lines []string
	each  chan<- string // gets every line too, if not nil
}

func (j *journal) Enabled(context.Context, slog.Level) bool { return true }
func (j *journal) WithAttrs([]slog.Attr) slog.Handler       { return j }
func (j *journal) WithGroup(string) slog.Handler            { return j }

func (j *journal) Handle(_ context.Context, r slog.Record) error {
	attrs := make(map[string]string)
	r.Attrs(func(a slog.Attr) bool {
		attrs[a.Key] = a.Value.String()
		return true
	})
	j.mu.Lock()
	defer j.mu.Unlock()
	line := fmt.Sprintf("%s %s %s: %s %s>%s: %s",
		r.Level, attrs["upstream"], r.Message, attrs["server"], attrs["from"], attrs["to"], attrs["why"])
	j.lines = append(j.lines, line)
	if j.each != nil {
		j.each <- line
	}
	return nil
}

// take returns the lines since the last call.
func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := j.lines
	j.lines = nil
	return lines
}

func (j *journal) want(t testing.TB, lines ...string) {
	t.Helper()
	if got := j.take(); !slices.Equal(got, lines) {
		t.Fatalf("logged %q, want %q", got, lines)
	}
}
