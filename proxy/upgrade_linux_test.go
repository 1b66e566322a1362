package proxy

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/internal/testca"
	"github.com/seed-e3b9a99f/baton/proxy/metrics"
)

// plain is a configuration with an http listener and a tcp listener.
func plain(p *process, app, db string, more ...string) string {
	return p.head(append(more, quick)...) + fmt.Sprintf(`
listeners:
  - {name: web, address: "%s", protocol: http, upstream: app}
  - {name: db, address: "%s", protocol: tcp, upstream: db}
upstreams:
  app: %s
  db: %s
`, p.address(portHTTP), p.address(portTCP), app, db)
}

func servers(addresses ...string) string {
	return "{servers: [" + strings.Join(addresses, ", ") + "]}"
}

func newPlain(t *testing.T, more ...string) *process {
	t.Helper()
	p := newProcess(t)
	p.run(plain(p, servers(newWebServer(t, "a")), servers(newEchoServer(t).Addr().String()), more...))
	return p
}

// A file with a mistake stops an upgrade before it begins, and whoever asked for it hears of the mistake.
func TestPreflightRefusesMistakes(t *testing.T) {
	t.Parallel()
	p := newPlain(t)
	good, err := os.ReadFile(p.path("baton.yaml"))
	p.must(err)
	before := p.pid()
	p.write("baton.yaml", strings.Replace(string(good), "upstream: db", "upstream: nobody", 1))
	err = p.client.Upgrade(t.Context(), func(string) {})
	if err == nil || !strings.Contains(err.Error(), "nobody") || strings.Count(err.Error(), "preflight: ") != 1 {
		t.Errorf("an upgrade to a bad file: %v", err)
	}
	p.must(postOnce(p.dial(portHTTP)))
	p.must(echoed(p.dial(portTCP)))

	p.signal(syscall.SIGHUP)
	p.until("both refusals are counted", func() bool { return p.metric(metrics.UpgradesTotal, "failed") == 2 })
	p.says("upgrade failed", "nobody", "serves on")
	if p.pid() != before {
		t.Error("another process is in charge")
	}
	p.write("baton.yaml", string(good))
	p.must(p.client.Upgrade(t.Context(), func(string) {}))
	if p.pid() == before || p.metric(metrics.UpgradesTotal, "failed") != 2 {
		t.Error("not upgraded, or the counter fell")
	}
}

// An operator who asks over the socket hears of each step, and the socket stays for its owner alone.
func TestAdminSocket(t *testing.T) {
	t.Parallel()
	p := newPlain(t)
	for generation := 1; generation <= 3; generation++ {
		info, err := os.Stat(p.path("admin.sock"))
		p.must(err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("the socket's mode is %v", info.Mode())
		}
		status := p.status()
		if status.Generation != generation || status.PID != p.pid() || status.ConfigFile != p.path("baton.yaml") {
			t.Errorf("status of generation %d: %+v", generation, status)
		}
		var steps []string
		var mu sync.Mutex
		err = p.client.Upgrade(t.Context(), func(step string) {
			mu.Lock()
			defer mu.Unlock()
			steps = append(steps, step)
		})
		if text := strings.Join(steps, ", "); err != nil || !strings.Contains(text, "committing: pid ") {
			t.Errorf("upgrade: %v, steps %s", err, text)
		}
	}
}

// get asks for a path on a connection of its own.
func (p *process) get(path string) *http.Response {
	p.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	resp, err := client.Get("http://" + p.address(portHTTP) + path)
	p.must(err)
	resp.Body.Close()
	return resp
}

// Maintenance mode is the next process' too, and so is what it does to tcp listeners.
func TestMaintenanceSurvives(t *testing.T) {
	t.Parallel()
	p := newPlain(t, "maintenance: {retry_after: 7s, health_path: /healthz, health_status: 200, pause_tcp: true}")
	p.must(p.client.SetMaintenance(t.Context(), true))
	for range 3 {
		resp := p.get("/")
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "7" {
			t.Errorf("status %s, Retry-After %q", resp.Status, resp.Header.Get("Retry-After"))
		}
		if resp := p.get("/healthz"); resp.StatusCode != http.StatusOK {
			t.Errorf("health: %s", resp.Status)
		}
		if !p.status().Maintenance || p.metric(metrics.Maintenance) != 1 {
			t.Error("nobody says that it is maintenance mode")
		}
		p.upgrade()
	}
	waiting := p.dial(portTCP) // by the kernel
	answer := make(chan error, 1)
	go func() { answer <- echoed(waiting) }()
	p.signal(syscall.SIGHUP)
	p.until("generation 5", func() bool { return p.status().Generation == 5 })
	select {
	case err := <-answer:
		t.Fatalf("a tcp listener that is paused let a client through: %v", err)
	default:
	}
	p.must(p.client.SetMaintenance(t.Context(), false))
	p.must(<-answer)
	if resp := p.get("/"); resp.StatusCode != http.StatusOK {
		t.Errorf("afterwards: %s", resp.Status)
	}
}

// What is known of servers passes: one that is out is out at once, and no client has to find out anew.
func TestKnowledgePasses(t *testing.T) {
	t.Parallel()
	p := newProcess(t)
	dead, well := "127.0.0.1:"+freePort(t), newWebServer(t, "a")
	echo := newEchoServer(t).Addr().String()
	p.run(plain(p,
		fmt.Sprintf("{servers: [%s, %s], ejection: {failures: 1, duration: 10m}}", dead, well),
		fmt.Sprintf("{servers: [%s, %s], health: {interval: 1h, timeout: 1s, fall: 1}}", dead, echo)))
	for range 4 {
		if resp := p.get("/"); resp.StatusCode != http.StatusOK {
			t.Fatal(resp.Status)
		}
	}
	state := func(upstream string) (state string, since time.Time) {
		for _, up := range p.status().Upstreams {
			for _, s := range up.Servers {
				if up.Name == upstream && s.Address == dead {
					return s.State, s.Since
				}
			}
		}
		return "missing", time.Time{}
	}
	p.until("the check has failed", func() bool { s, _ := state("db"); return s == "down" })
	ejected, ejectedAt := state("app")
	_, downAt := state("db")
	retries := p.metric(metrics.RetriesTotal)
	if ejected != "ejected" || retries == 0 {
		t.Fatalf("%s after %v retries", ejected, retries)
	}
	for range 2 {
		p.exits(p.upgrade())
		if s, at := state("app"); s != "ejected" || !at.Equal(ejectedAt) {
			t.Errorf("app: %s since %v, was ejected at %v", s, at, ejectedAt)
		}
		if s, at := state("db"); s != "down" || !at.Equal(downAt) {
			t.Errorf("db: %s since %v, was down at %v", s, at, downAt)
		}
		for range 4 {
			p.get("/")
			p.must(echoedToTheEnd(p.dial(portTCP)))
		}
		if again := p.metric(metrics.RetriesTotal); again != retries {
			t.Errorf("%v retries, were %v", again, retries)
		}
	}
}

// Counters go on from process to process: they never fall, and in the end say what the clients did.
func TestCountersNeverFall(t *testing.T) {
	t.Parallel()
	p := newPlain(t)
	cr := &crowd{t: t, quit: make(chan struct{})}
	var requests, opened atomic.Int64
	cr.join("http", 4, func() (func() error, func(), error) {
		k := &keepAliveClient{connect: func() (net.Conn, error) { return dial(p.address(portHTTP)) }, stays: true}
		return func() error { requests.Add(1); return k.post(1) }, k.close, nil
	})
	cr.join("tcp", 4, once(func() (net.Conn, error) { opened.Add(1); return dial(p.address(portTCP)) }, echoedToTheEnd))
	cr.join("tcp long", 2, func() (func() error, func(), error) {
		opened.Add(1)
		return long(func() (net.Conn, error) { return dial(p.address(portTCP)) }, nothing, echoed)()
	})
	before := make(numbers)
	look := func() {
		t.Helper()
		now, err := p.scrape()
		p.must(err)
		for key, value := range before {
			if counts(key) && now[key] < value {
				t.Errorf("%s fell from %v to %v", key, value, now[key])
			}
		}
		before = now
	}
	for range 3 {
		done := make(chan error, 1)
		go func() { done <- p.client.Upgrade(t.Context(), func(string) {}) }()
		for running := true; running; {
			look()
			select {
			case err := <-done:
				p.must(err)
				running = false
			default:
			}
		}
		for end := time.Now().Add(200 * time.Millisecond); time.Now().Before(end); {
			look() // while the old process tells the rest
		}
	}
	cr.home()
	ended := func() bool {
		look()
		return before.sum(metrics.Connections, `"db"`) == 0 && len(p.status().Living) == 0
	}
	p.until("all has ended", ended)
	look()
	for _, want := range []struct {
		what  string
		is    float64
		count int64
	}{
		{"requests", before.sum(metrics.RequestsTotal, `listener="web"`, `code="200"`, `method="POST"`), requests.Load()},
		{"timed requests", before.sum(metrics.RequestSeconds+"_count", `listener="web"`), requests.Load()},
		{"tcp connections", before.sum(metrics.ConnectionsTotal, `listener="db"`), opened.Load()},
		{"upgrades", before.sum(metrics.UpgradesTotal, `result="ok"`), 3},
		{"failures", before.sum(metrics.ErrorsTotal), 0},
	} {
		if want.is != float64(want.count) {
			t.Errorf("%s: counted %v, were %d", want.what, want.is, want.count)
		}
	}
	in, out := before.sum(metrics.BytesTotal, `"db"`, `"in"`), before.sum(metrics.BytesTotal, `"db"`, `"out"`)
	if in != out || in == 0 {
		t.Errorf("an echo had %v bytes from clients and %v to them", in, out)
	}
	if moved := before.sum(metrics.RelaysMovedTotal); moved < 3*2 {
		t.Errorf("%v relays moved", moved)
	}
}

// What a process counts while it drains is told to the one in charge, up to the last byte: also of listeners that are no
// more.
func TestCountsOfADrainArrive(t *testing.T) {
	t.Parallel()
	l := newListeners(t)
	p := l.p
	ca := testca.New(t, "ca")
	ca.Issue(t, testca.Request{Names: []string{"app"}}).Write(t, p.dir)
	certs := fmt.Sprintf("tls: {certificates: [{cert: %s/tls.crt, key: %[1]s/tls.key}]}", p.dir)
	webs := fmt.Sprintf("{name: webs, address: \"%s\", protocol: http, upstream: app, %s}", p.address(portHTTPS), certs)
	p.run(l.text(webs, l.tcp("dbs", portTLS, ", "+certs)))
	config := &tls.Config{RootCAs: ca.Pool(), ServerName: "app"}
	tcp, err := dialTLS(p.address(portTLS), config)
	p.must(err)
	ws, err := dialTLS(p.address(portHTTPS), config)
	p.must(err)
	p.must(webSocket(ws))

	p.reload(l.text(webs))
	old := p.upgrade()
	sent := strings.Repeat("x", 1000)
	for _, c := range []net.Conn{ws, tcp} { // both are in the old process
		for range 3 {
			time.Sleep(150 * time.Millisecond) // counts are told meanwhile
			_, err := io.WriteString(c, sent)
			p.must(err)
			_, err = io.ReadFull(c, make([]byte, len(sent)))
			p.must(err)
		}
		c.Close()
	}
	p.exits(old)
	n, err := p.scrape()
	p.must(err)
	for _, listener := range []string{"dbs", "webs"} {
		for _, direction := range []string{"in", "out"} {
			if got := n.sum(metrics.BytesTotal, `"`+listener+`"`, `"`+direction+`"`); got != 3000 {
				t.Errorf("listener %s: %v bytes %s are counted", listener, got, direction)
			}
		}
	}
}

// counts tells whether a series may only rise. What Go and the system count is of one process.
func counts(key string) bool {
	name, _, _ := strings.Cut(key, "{")
	if !strings.HasPrefix(name, "baton_") {
		return false
	}
	for _, suffix := range []string{"_total", "_count", "_sum", "_bucket"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// What the kernel has goes with each upgrade, so that the old process need not stay: also connections that have become
// something else than HTTP.
func TestConnectionsMove(t *testing.T) {
	t.Parallel()
	p := newPlain(t)
	web, tcp, ws := p.dial(portHTTP), p.dial(portTCP), p.dial(portHTTP)
	k := &keepAliveClient{connect: func() (net.Conn, error) { return web, nil }, stays: true}
	p.must(webSocket(ws))
	check := func() {
		t.Helper()
		p.must(k.post(1))
		p.must(echoed(tcp))
		p.must(echoed(ws))
		n, err := p.scrape()
		p.must(err)
		for name, want := range map[string]float64{"web": 2, "db": 1} {
			if open := n.sum(metrics.Connections, `"`+name+`"`); open != want {
				t.Errorf("listener %s: %v connections are counted, not %v", name, open, want)
			}
			if ever := n.sum(metrics.ConnectionsTotal, `"`+name+`"`); ever != want {
				t.Errorf("listener %s: %v connections were ever counted, not %v: one that moves is no new one", name, ever, want)
			}
		}
		if active := n.sum(metrics.UpstreamActive); active != 2 {
			t.Errorf("upstreams: %v connections are counted, not the relay's and the tunnel's", active)
		}
	}
	check()
	for range 3 {
		p.exits(p.upgrade())
		check()
	}
}
