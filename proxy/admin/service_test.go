package admin

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// A server waits half a second with a request whose body it did not want, and Close does not wait for that.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// fakeProxy answers as its fields say.
type fakeProxy struct {
	mu       sync.Mutex
	on       bool
	status   Status
	err      error // of everything that can fail
	upgrade  func(ctx context.Context, progress func(string)) error
	reloaded ReloadResult
}

func (f *fakeProxy) Status(context.Context) (Status, error) { return f.status, f.err }

func (f *fakeProxy) Upgrade(ctx context.Context, progress func(string)) error {
	return f.upgrade(ctx, progress)
}

func (f *fakeProxy) Reload(context.Context) (ReloadResult, error) { return f.reloaded, f.err }

func (f *fakeProxy) Maintenance() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.on
}

func (f *fakeProxy) SetMaintenance(on bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.on = on
	}
	return f.err
}

var errBroken = errors.New("the file is broken: see line 7")

// serve runs a handler on a real socket and returns its path.
func serve(t *testing.T, h http.Handler) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "admin.sock")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	if err := Restrict(socket); err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h, ConnContext: ConnContext}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	t.Cleanup(func() {
		srv.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("the server ended with %v", err)
		}
	})
	return socket
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// full is a status with something in every field.
func full(now time.Time) Status {
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	day := 24 * time.Hour
	return Status{
		Version: "1.4.0", PID: 4711, Generation: 3, Phase: "serving", Since: ago(3*day + 4*time.Hour + 59*time.Minute),
		Living: []int{4712, 4200, 4711, 3999}, ChildPID: 4712,
		Maintenance: true, ConfigFile: "/etc/baton/proxy.yaml", ConfigLoaded: ago(4*time.Hour + 12*time.Minute),
		LastReload: &LastReload{
			At: ago(5*time.Minute + 3*time.Second), Error: "2 mistakes:\n[7:3] listeners: no address\n[9:1] bad key",
		},
		Listeners: []Listener{
			{Name: "web", Protocol: "http", Address: ":8080", Connections: 120, Accepted: 1234567},
			{Name: "db", Protocol: "tcp", Address: "unix:/run/db.sock", Connections: 3, Accepted: 9, Paused: true},
		},
		Upstreams: []Upstream{
			{Name: "app", Balance: "least_conn", Servers: []Server{
				{Address: "127.0.0.1:9000", State: StateUp, Since: ago(59 * time.Second), Active: 7, Picks: 1000},
				{Address: "127.0.0.1:9001", State: "down", Since: ago(90 * time.Minute), Picks: 5, Failures: 5,
					LastError: "GET /healthz: HTTP 500\x1b[31m"},
			}},
			{Name: "empty", Balance: "round_robin"},
		},
		Certificates: []Certificate{
			{Listener: "web", Source: "a.pem", Names: []string{"a.example", "*.a.example"}, Serial: "0A:1B",
				NotBefore: ago(day), NotAfter: now.Add(80 * day)},
			{Listener: "web", Source: "b.pem", Names: []string{"b.example"}, Serial: "02", NotBefore: ago(80 * day),
				NotAfter: now.Add(20 * day), Error: "b.key: does not belong to b.pem"},
			{Listener: "webs", Source: "e.pem", Names: []string{"soon"}, Serial: "05", NotAfter: now.Add(14*day - 1)},
			{Listener: "webs", Source: "f.pem", Names: []string{"later"}, Serial: "06", NotAfter: now.Add(14 * day)},
			{Listener: "webs", Source: "g.pem", Error: "not read yet"},
			{Listener: "mqtt", Source: "c.pem", Names: []string{"c.example"}, Serial: "03", NotBefore: ago(90 * day),
				NotAfter: ago(2 * time.Hour)},
			{Listener: "mqtt", Source: "d.pem", Serial: "04", NotBefore: now.Add(day), NotAfter: now.Add(30 * day)},
		},
	}
}
