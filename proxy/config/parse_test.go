package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// sample has each protocol, and settings at each depth.
const sample = `pid_file: /run/baton/app.pid
admin: {socket: /run/baton/admin.sock, metrics: 127.0.0.1:9180}
upgrade: {ready_timeout: 30s, probation: 5s, drain_timeout: 60s}
listeners:
  - {name: web,  address: ":8080", protocol: http, upstream: app}
  - {name: webs, address: ":8443", protocol: http, upstream: app, tls: {certificates: [{cert: a.pem, key: a.key}]}}
  - {name: mqtt, address: ":8883", protocol: tcp,  upstream: broker, tls: {certificates: [{cert: a.pem, key: a.key}],` +
	` client_ca: ca.pem}}
  - {name: db,   address: ":5433", protocol: tcp,  upstream: pg}
  - {name: sni,  address: ":9443", protocol: tls-passthrough, routes: [{sni: ["*.example.com"], upstream: app_tls}]}
upstreams:
  app:    {servers: [127.0.0.1:9000, 127.0.0.1:9001], balance: least_conn, health: {path: /healthz, interval: 2s}}
  broker: {servers: [127.0.0.1:1883]}
  pg:     {servers: [127.0.0.1:5432]}
`

const sampleTLS = "  app_tls: {servers: [127.0.0.1:9443]}\n"

// parse returns what text says, without its places, which no test compares.
func parse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("/etc/baton/baton.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	c.places = nil
	return c
}

func TestSample(t *testing.T) {
	pair := []Certificate{{Cert: "/etc/baton/a.pem", Key: "/etc/baton/a.key"}}
	listener := func(name, address string, p Protocol, upstream string, idle time.Duration) Listener {
		return Listener{
			Name: name, Address: address, Protocol: p, Upstream: upstream, IdleTimeout: idle, PeekTimeout: 5 * time.Second,
			HTTP: HTTPOptions{ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 65536},
		}
	}
	upstream := func(b Balance, h *Health, servers ...string) Upstream {
		return Upstream{
			Servers: servers, Balance: b, Protocol: "http1", Health: h,
			Ejection:       Ejection{Failures: 5, Duration: 10 * time.Second},
			ConnectTimeout: 5 * time.Second, ResponseTimeout: time.Minute, MaxIdle: 64, Retries: 1,
		}
	}
	want := &Config{
		PIDFile: "/run/baton/app.pid",
		Admin:   Admin{Socket: "/run/baton/admin.sock", Metrics: "127.0.0.1:9180"},
		Upgrade: Upgrade{
			ReadyTimeout: 30 * time.Second, Probation: 5 * time.Second, DrainTimeout: time.Minute,
			MaxGenerations: 8, Preflight: true,
		},
		Log:         Log{Level: "info", Format: "text"},
		Maintenance: Maintenance{RetryAfter: 30 * time.Second, HealthCode: 503},
		TicketKeys:  TicketKeys{Lifetime: 12 * time.Hour, Keep: 4},
		Listeners: []Listener{
			listener("web", ":8080", HTTP, "app", 2*time.Minute),
			listener("webs", ":8443", HTTP, "app", 2*time.Minute),
			listener("mqtt", ":8883", TCP, "broker", time.Hour),
			listener("db", ":5433", TCP, "pg", time.Hour),
			listener("sni", ":9443", TLSPassthrough, "", time.Hour),
		},
		Upstreams: map[string]Upstream{
			"app": upstream(LeastConn, &Health{Path: "/healthz", Interval: 2 * time.Second, Timeout: 2 * time.Second,
				Fall: 3, Rise: 2}, "127.0.0.1:9000", "127.0.0.1:9001"),
			"app_tls": upstream(RoundRobin, nil, "127.0.0.1:9443"),
			"broker":  upstream(RoundRobin, nil, "127.0.0.1:1883"),
			"pg":      upstream(RoundRobin, nil, "127.0.0.1:5432"),
		},
	}
	want.Listeners[1].TLS = &TLS{Certificates: pair, MinVersion: "1.2", Interval: 10 * time.Second}
	want.Listeners[2].TLS = &TLS{Certificates: pair, MinVersion: "1.2", Interval: 10 * time.Second,
		ClientCA: "/etc/baton/ca.pem"}
	want.Listeners[4].Routes = []Route{{SNI: []string{"*.example.com"}, Upstream: "app_tls"}}
	if have := parse(t, sample+sampleTLS); !reflect.DeepEqual(have, want) {
		t.Errorf("have %+v\nwant %+v", have, want)
	}
}

// The sample without the upstream that its last listener names has that one mistake.
func TestSampleWithoutUpstream(t *testing.T) {
	_, err := Parse("baton.yaml", []byte(sample))
	want := `baton.yaml:9:107: listeners[4].routes[0].upstream: "app_tls" is no upstream: give app, broker or pg`
	if err == nil || err.Error() != want {
		t.Errorf("have %v\nwant %s", err, want)
	}
}

func TestWhatIsWrittenWinsOverDefaults(t *testing.T) {
	c := parse(t, `upgrade: {probation: 0, preflight: false}
log: {access: 0.5}
listeners:
  - {name: db, address: "localhost:5433", protocol: tcp, upstream: pg, idle_timeout: 0s, keep_alive: 90s,
     max_connections: 0100, proxy_protocol: {trusted: [fe80::/10, 10.0.0.0/8, ::1/128]}}
upstreams:
  pg: {servers: [localhost:5432, unix:run/pg.sock], retries: 0, ejection: {failures: 0}, proxy_protocol: 2, health: {}}
`)
	l, u := c.Listeners[0], c.Upstreams["pg"]
	if c.Upgrade.Probation != 0 || c.Upgrade.Preflight || c.Log.Access != 0.5 {
		t.Errorf("%+v %+v", c.Upgrade, c.Log)
	}
	if l.IdleTimeout != 0 || l.KeepAlive != 90*time.Second || l.MaxConnections != 100 {
		t.Errorf("%+v", l)
	}
	trusted := []netip.Prefix{netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("10.0.0.0/8"),
		netip.MustParsePrefix("::1/128")}
	if want := (ProxyProtocol{Trusted: trusted, Timeout: 5 * time.Second}); !reflect.DeepEqual(*l.ProxyProtocol, want) {
		t.Errorf("%+v", l.ProxyProtocol)
	}
	if u.Retries != 0 || u.Ejection != (Ejection{Duration: 10 * time.Second}) || u.ProxyProtocol != 2 ||
		*u.Health != (Health{Interval: 5 * time.Second, Timeout: 2 * time.Second, Fall: 3, Rise: 2}) {
		t.Errorf("%+v", u)
	}
	if want := []string{"localhost:5432", "unix:/etc/baton/run/pg.sock"}; !reflect.DeepEqual(u.Servers, want) {
		t.Errorf("servers %q, want %q", u.Servers, want)
	}
}

func TestTextsAreNormal(t *testing.T) {
	c := parse(t, `listeners:
  - name: web
    address: ":80"
    protocol: http
    upstream: app
    routes: [{hosts: [API.Example.com, "*.X.example", 10.0.0.1], path_prefix: /api/, upstream: app}]
    tls: {certificates: [{cert: ../a.pem, key: /x/../b.key}], min_version: 1.3, hosts: [{names: [A.b], client_ca: ca}]}
upstreams:
  app: {servers: ["[::1]:80"]}
`)
	l := c.Listeners[0]
	want := Route{Hosts: []string{"api.example.com", "*.x.example", "10.0.0.1"}, PathPrefix: "/api", Upstream: "app"}
	if !reflect.DeepEqual(l.Routes[0], want) {
		t.Errorf("%+v", l.Routes[0])
	}
	if (l.TLS.Certificates[0] != Certificate{Cert: "/etc/a.pem", Key: "/b.key"}) || l.TLS.MinVersion != "1.3" {
		t.Errorf("%+v", l.TLS)
	}
	if h := l.TLS.Hosts[0]; h.Names[0] != "a.b" || h.ClientCA != "/etc/baton/ca" {
		t.Errorf("%+v", h)
	}
}

func TestAnchorsAndMergeKeys(t *testing.T) {
	c := parse(t, `listeners:
  - &web {name: a, address: ":80", protocol: http, upstream: a, idle_timeout: 7s}
  - {<<: *web, name: b, address: ":81", upstream: b}
  - <<: [{name: c, idle_timeout: &t 9s}, *web]
    address: ":82"
    upstream: c
upstreams:
  a: &s
    servers: [127.0.0.1:1]
    connect_timeout: *t
  b: *s
  c:
    <<: *s
    retries: 4
`)
	var have []string
	for _, l := range c.Listeners {
		have = append(have, fmt.Sprint(l.Name, l.Address, l.Upstream, l.IdleTimeout))
	}
	if want := []string{"a:80a7s", "b:81b7s", "c:82c9s"}; !reflect.DeepEqual(have, want) {
		t.Errorf("have %q, want %q", have, want)
	}
	a := c.Upstreams["a"]
	if !reflect.DeepEqual(a, c.Upstreams["b"]) || a.ConnectTimeout != 9*time.Second {
		t.Errorf("%+v", c.Upstreams)
	}
	a.Retries = 4
	if !reflect.DeepEqual(a, c.Upstreams["c"]) {
		t.Errorf("%+v, want %+v", c.Upstreams["c"], a)
	}
}

// What an archive of text files cannot hold.
func TestBadBytes(t *testing.T) {
	const noText = "holds a control character, or a byte that is not UTF-8: save the file as UTF-8 text"
	good := sample + sampleTLS
	for name, test := range map[string]struct{ text, want string }{
		"CR":         {"a: b\rc: d", "f.yaml:1:5: " + noText},
		"empty":      {"", "f.yaml:1:1: is empty: give listeners and upstreams"},
		"zero byte":  {"pid_file: é\x00", "f.yaml:1:12: " + noText},
		"not UTF-8":  {"a: b\npid_file: \xff", "f.yaml:2:11: " + noText},
		"too long":   {good + strings.Repeat("#", 1<<20), "f.yaml:1:1: has more than 1048576 bytes"},
		"CRLF":       {strings.ReplaceAll(good+"x: 1\n", "\n", "\r\n"), "f.yaml:15:1: x: is no key here: give admin,"},
		"too nested": {strings.Repeat("[", 100_000), "f.yaml:1:33: nests more than 32 deep: this is no configuration"},
		"too wide":   {"listeners: " + strings.Repeat("- ", 500), "f.yaml:1:76: nests more than 32 deep"},
	} {
		_, err := Parse("f.yaml", []byte(test.text))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %.200v, want %s", name, err, test.want)
		}
	}
	if _, err := Parse("f.yaml", []byte(strings.ReplaceAll(good, "\n", "\r\n"))); err != nil {
		t.Errorf("CRLF: %v", err)
	}
}

// Aliases make a long text out of a short one.
func TestAliasesAreBounded(t *testing.T) {
	text := "listeners:\n- &a {routes: [" + strings.Repeat("{},", 1000) + "{}]}\n" + strings.Repeat("- *a\n", 1000)
	_, err := Parse("f.yaml", []byte(text))
	all := Mistakes(err)
	if err == nil || len(all) > 2*maxValues || !strings.Contains(err.Error(), "is one of more than 100000 values") {
		t.Errorf("%d mistakes, and nothing stopped them", len(all))
	}
	text = "x0: &x0 {loud: 1}\n"
	for i := range 40 {
		text += fmt.Sprintf("x%d: &x%[1]d {<<: [*x%d, *x%[2]d]}\n", i+1, i)
	}
	_, err = Parse("f.yaml", []byte(text+"log: *x40\n"))
	if err == nil || !strings.Contains(err.Error(), "f.yaml:1:10: log.loud: is no key here") {
		t.Error(err)
	}
}

func TestLoad(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "baton.yaml")
	if _, err := Load(file); err == nil || len(Mistakes(err)) != 0 || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if err := os.WriteFile(file, []byte(sample+sampleTLS), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if have := c.Listeners[1].TLS.Certificates[0].Cert; have != filepath.Join(folder, "a.pem") {
		t.Errorf("the certificate is %s", have)
	}
	if err := os.WriteFile(file, []byte("pidfile: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Load(file)
	if m := Mistakes(err); len(m) != 3 || m[0].File != file {
		t.Errorf("mistakes: %v", err)
	}
}
