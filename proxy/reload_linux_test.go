package proxy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/seed-e3b9a99f/baton/internal/testca"
	"github.com/seed-e3b9a99f/baton/proxy/metrics"
)

// listeners is a configuration whose listeners are given line by line, with an http server app and a TCP server db.
type listeners struct {
	p       *process
	app, db string
	head    []string
}

func newListeners(t *testing.T, head ...string) *listeners {
	t.Helper()
	return &listeners{
		p: newProcess(t), app: newWebServer(t, "a"), db: newEchoServer(t).Addr().String(), head: append(head, quick),
	}
}

func (l *listeners) text(lines ...string) string {
	text := l.p.head(l.head...) + "listeners:\n"
	text += fmt.Sprintf("  - {name: web, address: \"%s\", protocol: http, upstream: app}\n", l.p.address(portHTTP))
	for _, line := range append(lines, l.tcp("db", portTCP, "")) {
		text += "  - " + line + "\n"
	}
	return text + fmt.Sprintf("upstreams:\n  app: %s\n  db: %s\n", servers(l.app), servers(l.db))
}

func (l *listeners) tcp(name string, port int, more string) string {
	return fmt.Sprintf("{name: %s, address: \"%s\", protocol: tcp, upstream: db%s}", name, l.p.address(port), more)
}

// A configuration with a mistake changes nothing, and the operator is told of every mistake.
func TestReloadRefusesMistakes(t *testing.T) {
	t.Parallel()
	l := newListeners(t)
	p := l.p
	p.run(l.text())
	kept := p.dial(portTCP)
	was := p.status()
	archives, err := filepath.Glob("config/testdata/*.txtar")
	p.must(err)
	cases := 0
	for _, path := range archives {
		archive, err := txtar.ParseFile(path)
		p.must(err)
		for i := 0; i+1 < len(archive.Files); i += 2 {
			cases++
			name := filepath.Base(path) + "/" + archive.Files[i].Name
			p.write("baton.yaml", string(archive.Files[i].Data))
			if _, err := p.client.Reload(t.Context()); err == nil {
				t.Errorf("%s was not refused", name)
			}
			now := p.status()
			if now.LastReload == nil || strings.ReplaceAll(now.LastReload.Error, p.path("baton.yaml"), "baton.yaml")+"\n" !=
				string(archive.Files[i+1].Data) {
				t.Errorf("%s: %+v, want\n%s", name, now.LastReload, archive.Files[i+1].Data)
			}
			if len(now.Listeners) != len(was.Listeners) || !now.ConfigLoaded.Equal(was.ConfigLoaded) {
				t.Errorf("%s has changed something: %+v", name, now)
			}
			p.must(echoed(kept))
		}
	}
	p.must(postOnce(p.dial(portHTTP)))
	p.must(echoed(p.dial(portTCP)))
	if n := p.metric(metrics.ReloadsTotal, "refused"); int(n) != cases || cases < 60 || p.pid() != was.PID {
		t.Errorf("%v reloads refused of %d; pid %d, was %d", n, cases, p.pid(), was.PID)
	}
}

// What belongs to a process takes an upgrade, and a reload says so.
func TestReloadRefusesWhatNeedsAnUpgrade(t *testing.T) {
	t.Parallel()
	l := newListeners(t)
	p := l.p
	p.run(l.text())
	good := l.text()
	for _, c := range []struct{ old, new, says string }{
		{p.path("pid"), p.path("other"), "pid_file"},
		{p.path("admin.sock"), p.path("a.sock"), "admin"},
		{"drain_timeout: 10m", "drain_timeout: 9m", "upgrade"},
		{"upgrade:", "reload: {watch: 1s}\nupgrade:", "reload"},
		{"upgrade:", "log: {format: json}\nupgrade:", "log.format"},
		{"upgrade:", "ticket_keys: {lifetime: 1h}\nupgrade:", "ticket_keys"},
		{"name: db", "name: db2", "listener db: its name"},
		{"protocol: tcp", "protocol: tls-passthrough", "listener db: protocol"},
		{"protocol: http, upstream: app", "protocol: http, upstream: app, idle_timeout: 9s", "listener web: idle_timeout"},
		{"protocol: http, upstream: app", "protocol: http, upstream: app, http: {h2c: true}", "listener web: http.h2c"},
	} {
		p.write("baton.yaml", strings.Replace(good, c.old, c.new, 1))
		_, err := p.client.Reload(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.says+" changes with an upgrade only") ||
			p.status().LastReload.Error == "" {
			t.Errorf("%s: %v", c.says, err)
		}
	}
	p.write("baton.yaml", strings.Replace(good, "name: db", "name: db2", 1))
	p.upgrade()
	if now := p.status(); now.Listeners[1].Name != "db2" {
		t.Errorf("an upgrade did not take it: %+v", now.Listeners)
	}
	p.must(echoed(p.dial(portTCP)))
}

// A reload that cannot open everything opens nothing.
func TestReloadOpensAllOrNothing(t *testing.T) {
	t.Parallel()
	l := newListeners(t)
	p := l.p
	p.run(l.text())
	taken, err := net.Listen("tcp", p.address(portTLS))
	p.must(err)
	more := l.text(l.tcp("extra", portExtra, ""), l.tcp("taken", portTLS, ""))
	p.write("baton.yaml", more)
	_, err = p.client.Reload(t.Context())
	if err == nil || !strings.Contains(err.Error(), "listener taken") || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("an address that is taken: %v", err)
	}
	if c, err := net.Dial("tcp", p.address(portExtra)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("what was opened was left open: %v", err)
		c.Close()
	}
	if now := p.status(); len(now.Listeners) != 2 {
		t.Errorf("%+v", now.Listeners)
	}
	taken.Close()
	if changes := p.reload(more); len(changes) != 2 {
		t.Errorf("%q", changes)
	}
	p.must(echoed(p.dial(portExtra)))
	p.must(echoed(p.dial(portTLS)))
}

// A listener that is removed serves whom it has, those included who still wait for a place, and whoever is paused.
func TestRemovedListenerEndsWell(t *testing.T) {
	t.Parallel()
	l := newListeners(t, "maintenance: {pause_tcp: true}")
	p := l.p
	full := l.tcp("full", portExtra, ", max_connections: 1")
	p.run(l.text(full, l.tcp("paused", portTLS, "")))
	kept, open, waits := p.dial(portTCP), p.dial(portExtra), p.dial(portExtra)
	p.must(echoed(kept))
	p.must(echoed(open))
	p.must(p.client.SetMaintenance(t.Context(), true))
	pauses := p.dial(portTLS)
	p.reload(l.text())
	for name, c := range map[string]net.Conn{"kept": kept, "open": open, "waits for a place": waits, "was paused": pauses} {
		if err := echoed(c); err != nil {
			t.Errorf("who %s: %v", name, err)
		}
	}
	refused(t, p.address(portExtra))
	refused(t, p.address(portTLS))
	p.must(p.client.SetMaintenance(t.Context(), false))
	p.exits(p.upgrade())
	for name, c := range map[string]net.Conn{"kept": kept, "open": open, "waited": waits, "was paused": pauses} {
		if err := echoed(c); err != nil {
			t.Errorf("who %s, after an upgrade: %v", name, err)
		}
	}
}

// More places are for those who wait already.
func TestReloadRaisesMaxConnections(t *testing.T) {
	t.Parallel()
	l := newListeners(t)
	p := l.p
	p.run(l.text(l.tcp("full", portExtra, ", max_connections: 1")))
	p.must(echoed(p.dial(portExtra)))
	waits := p.dial(portExtra)
	answer := make(chan error, 1)
	go func() { answer <- echoed(waits) }()
	p.must(echoed(p.dial(portTCP))) // time for the other one, had it a place
	select {
	case err := <-answer:
		t.Fatalf("there is one place, and two were served: %v", err)
	default:
	}
	p.reload(l.text(l.tcp("full", portExtra, ", max_connections: 2")))
	p.must(<-answer)
}

// Certificates and client CAs change, by a reload and by themselves.
func TestReloadChangesTLS(t *testing.T) {
	t.Parallel()
	l := newListeners(t)
	p := l.p
	server, one, two := testca.New(t, "server"), testca.New(t, "one"), testca.New(t, "two")
	p.write("one.pem", string(one.PEM))
	p.write("two.pem", string(two.PEM))
	first, second := t.TempDir(), t.TempDir()
	issue := func(dir string) testca.Leaf {
		leaf := server.Issue(t, testca.Request{Names: []string{"db"}})
		leaf.Write(t, dir)
		return leaf
	}
	old, next := issue(first), issue(second)
	text := func(dir, ca string) string {
		return l.text(l.tcp("dbs", portTLS, fmt.Sprintf(
			", tls: {certificates: [{cert: %s/tls.crt, key: %[1]s/tls.key}], client_ca: %s, interval: 50ms}", dir, p.path(ca))))
	}
	greet := func(ca *testca.CA) (serves testca.Leaf, err error) {
		client := ca.Issue(t, testca.Request{})
		c, err := dialTLS(p.address(portTLS), &tls.Config{
			RootCAs: server.Pool(), ServerName: "db", Certificates: []tls.Certificate{client.TLS},
		})
		if err != nil {
			return testca.Leaf{}, err
		}
		defer c.Close()
		return testca.Leaf{X509: c.ConnectionState().PeerCertificates[0]}, echoed(c)
	}
	want := func(ca, not *testca.CA, leaf testca.Leaf) {
		t.Helper()
		if got, err := greet(ca); err != nil || !got.X509.Equal(leaf.X509) {
			t.Errorf("a client of the CA: %v", err)
		}
		if _, err := greet(not); err == nil {
			t.Error("a client of another CA was let in")
		}
	}
	p.run(text(first, "one.pem"))
	want(one, two, old)
	p.reload(text(first, "two.pem"))
	want(two, one, old)
	p.reload(text(second, "two.pem"))
	want(two, one, next)
	last := issue(second)
	p.until("the certificate changes by itself", func() bool {
		got, err := greet(two)
		p.must(err)
		return got.X509.Equal(last.X509)
	})
	p.write("baton.yaml", text(t.TempDir(), "one.pem")) // without certificates
	if _, err := p.client.Reload(t.Context()); err == nil {
		t.Error("a reload without a certificate was not refused")
	}
	want(two, one, last)
}

// opens waits until the extra listener serves.
func (p *process) opens() {
	p.t.Helper()
	p.until("the new listener is open", func() bool {
		c, err := net.Dial("tcp", p.address(portExtra))
		if err != nil {
			return false
		}
		defer c.Close()
		p.must(c.SetDeadline(time.Now().Add(patience)))
		return echoed(c) == nil
	})
}

// A changed file takes effect by a signal and by itself, in every generation.
func TestReloadBySignalAndWatch(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"signal: WINCH", "watch: 20ms"} {
		t.Run(how[:5], func(t *testing.T) {
			l := newListeners(t, "reload: {"+how+"}")
			p := l.p
			p.run(l.text())
			for range 2 {
				for _, text := range []string{l.text(l.tcp("extra", portExtra, "")), l.text()} {
					p.write("baton.yaml", text)
					if strings.HasPrefix(how, "signal") {
						p.signal(syscall.SIGWINCH)
					}
					if strings.Contains(text, "extra") {
						p.opens()
					} else {
						refused(t, p.address(portExtra))
					}
				}
				p.exits(p.upgrade())
			}
		})
	}
}

// A reload that is asked for during an upgrade takes effect in the process that comes out of it in charge.
func TestReloadDuringUpgrade(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"signal", "socket", "late"} {
		t.Run(how, func(t *testing.T) {
			l := newListeners(t, "reload: {signal: WINCH}")
			l.head[1] = strings.Replace(quick, "probation: 0s", "probation: 500ms", 1)
			p := l.p

			p.run(l.text())
			old := p.pid()
			p.signal(syscall.SIGHUP)
			p.until("the new process has read the file", func() bool { return p.status().Generation == 2 })
			if how == "late" {
				p.until("it is in charge", func() bool { return p.pid() != old })
			}
			p.write("baton.yaml", l.text(l.tcp("extra", portExtra, "")))
			if how == "socket" {
				_, err := p.client.Reload(t.Context())
				p.must(err)
			} else {
				p.must(syscall.Kill(old, syscall.SIGWINCH))
			}
			p.opens()
			p.until("the old process has gone", func() bool { return p.pid() != old && !alive(old) })
			p.opens()
		})
	}
}
