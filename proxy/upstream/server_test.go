package upstream

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/proxy/config"
)

func TestServerAddresses(t *testing.T) {
	for _, c := range []struct{ address, network, target, err string }{
		{"127.0.0.1:9000", "tcp", "127.0.0.1:9000", ""},
		{"[::1]:9000", "tcp", "[::1]:9000", ""},
		{"db.internal:5432", "tcp", "db.internal:5432", ""},
		{":9000", "tcp", ":9000", ""},
		{"unix:/run/app.sock", "unix", "/run/app.sock", ""},
		{"unix:@app", "unix", "@app", ""},
		{"unix:", "", "", "give unix:/path"},
		{"127.0.0.1", "", "", "missing port in address: give HOST:PORT"},
		{"127.0.0.1:", "", "", "no port: give HOST:PORT"},
		{"::1:9000", "", "", "too many colons"},
		{"", "", "", "missing port"},
	} {
		s, err := newServer(c.address)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q: %v, want %q", c.address, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", c.address, err)
			continue
		}
		if s.Address() != c.address || s.Network() != c.network || s.Target() != c.target {
			t.Errorf("%q: %s %s %s", c.address, s.Address(), s.Network(), s.Target())
		}
	}
}

// A pool made by a program has the times of a configuration file that leaves them out.
func TestDefaults(t *testing.T) {
	got := withDefaults(config.Upstream{Health: &config.Health{}})
	want := config.Upstream{
		Balance: config.RoundRobin, Protocol: "http1", ConnectTimeout: 5 * time.Second,
		Ejection: config.Ejection{Duration: 10 * time.Second},
		Health:   &config.Health{Interval: 5 * time.Second, Timeout: 2 * time.Second, Fall: 3, Rise: 2},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v %+v, want %+v %+v", got, got.Health, want, want.Health)
	}
}

func TestNewRefuses(t *testing.T) {
	for want, cfg := range map[string]config.Upstream{
		"upstream app: no servers":                               {},
		`upstream app: server "a:1" is given twice`:              {Servers: []string{"a:1", "b:1", "a:1"}},
		`upstream app: server "nowhere"`:                         {Servers: []string{"nowhere"}},
		`upstream app: balance "fair": give round_robin`:         {Servers: []string{"a:1"}, Balance: "fair"},
		`upstream app: health path "healthz": give a path such`:  {Servers: []string{"a:1"}, Health: &config.Health{Path: "healthz"}},
		`upstream app: health path "/%zz": give a path such as `: {Servers: []string{"a:1"}, Health: &config.Health{Path: "/%zz"}},
	} {
		if p, err := New("app", cfg, Options{}); err == nil {
			p.Close()
			t.Errorf("no error, want %q", want)
		} else if !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
