package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/internal/testca"
)

// The defaults are for every run of the tests; for more,
// go test ./proxy -run NobodyNotices -upgrades 100 -conns 20.
var (
	upgrades = flag.Int("upgrades", 10, "how many upgrades, and reloads, the clients have to survive")
	conns    = flag.Int("conns", 3, "clients of each kind")
)

// crowd is clients that do something again and again.
type crowd struct {
	t       *testing.T
	quit    chan struct{}
	running sync.WaitGroup
	kinds   []*kind
}

type kind struct {
	name  string
	steps atomic.Int64
}

// join has n clients of a kind take steps until the crowd goes home. Each is made by begin, which may fail the test.
func (cr *crowd) join(name string, n int, begin func() (step func() error, end func(), err error)) {
	k := &kind{name: name}
	cr.kinds = append(cr.kinds, k)
	for i := range n {
		cr.running.Go(func() {
			step, end, err := begin()
			if err != nil {
				cr.t.Errorf("%s %d: %v", name, i, err)
				return
			}
			defer end()
			for seq := 0; ; seq++ {
				if err := step(); err != nil {
					cr.t.Errorf("%s %d, step %d: %v", name, i, seq, err)
					return
				}
				k.steps.Add(1)
				select {
				case <-cr.quit:
					return
				case <-time.After(time.Duration(5+rand.IntN(30)) * time.Millisecond):
				}
			}
		})
	}
}

// once is a step on a connection of its own.
func once[C net.Conn](connect func() (C, error), use func(net.Conn) error) func() (func() error, func(), error) {
	return func() (func() error, func(), error) {
		return func() error {
			c, err := connect()
			if err != nil {
				return err
			}
			defer c.Close()
			return use(c)
		}, func() {}, nil
	}
}

// long is steps on one connection.
func long[C net.Conn](connect func() (C, error), hello, use func(net.Conn) error) func() (func() error, func(), error) {
	return func() (func() error, func(), error) {
		c, err := connect()
		if err != nil {
			return nil, nil, err
		}
		if err := hello(c); err != nil {
			c.Close()
			return nil, nil, err
		}
		return func() error { return use(c) }, func() { c.Close() }, nil
	}
}

func nothing(net.Conn) error { return nil }

// home ends the crowd, and wants each kind to have done something.
func (cr *crowd) home() {
	cr.t.Helper()
	close(cr.quit)
	cr.running.Wait()
	for _, k := range cr.kinds {
		cr.t.Logf("%-14s %6d", k.name, k.steps.Load())
		if k.steps.Load() == 0 {
			cr.t.Errorf("%s: nothing was done", k.name)
		}
	}
}

// everybody is a client of every kind.
func everybody(t *testing.T, p *process, roots *x509.CertPool) *crowd {
	cr := &crowd{t: t, quit: make(chan struct{})}
	connect := func(port int) func() (net.Conn, error) {
		return func() (net.Conn, error) { return dial(p.address(port)) }
	}
	secure := func(port int, protos ...string) func() (net.Conn, error) {
		config := &tls.Config{RootCAs: roots, ServerName: "app", NextProtos: protos}
		return func() (net.Conn, error) { return dialTLS(p.address(port), config) }
	}
	n := *conns
	cr.join("http new", n, once(connect(portHTTP), postOnce))
	cr.join("https new", n, once(secure(portHTTPS), postOnce))
	cr.join("https resumed", n, func() (func() error, func(), error) {
		config := &tls.Config{RootCAs: roots, ServerName: "app", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
		return resuming(p.address(portHTTPS), config)
	})
	for _, size := range []int{1, 3} {
		cr.join(fmt.Sprintf("http keep %d", size), n, keeping(connect(portHTTP), size, true))
	}
	cr.join("https keep", n, keeping(secure(portHTTPS), 1, false))
	cr.join("https h2", n, func() (func() error, func(), error) {
		h := &h2Client{connect: secure(portHTTPS, "h2")}
		return h.post, h.close, nil
	})
	cr.join("websocket", n, long(connect(portHTTP), webSocket, echoed))
	cr.join("websocket tls", n, long(secure(portHTTPS), webSocket, echoed))
	cr.join("tcp new", n, once(connect(portTCP), echoedToTheEnd))
	cr.join("tcp long", n, long(connect(portTCP), nothing, echoed))
	cr.join("tls new", n, once(secure(portTLS), echoedToTheEnd))
	cr.join("tls long", n, long(secure(portTLS), nothing, echoed))
	return cr
}

func keeping(connect func() (net.Conn, error), size int, stays bool) func() (func() error, func(), error) {
	return func() (func() error, func(), error) {
		k := &keepAliveClient{connect: connect, stays: stays}
		return func() error { return k.post(size) }, k.close, nil
	}
}

// resuming makes requests on connections of their own, of which only the first may need a full handshake.
func resuming(address string, config *tls.Config) (func() error, func(), error) {
	first := true
	return func() error {
		c, err := dialTLS(address, config)
		if err != nil {
			return err
		}
		defer c.Close()
		if !first && !c.ConnectionState().DidResume {
			return fmt.Errorf("the session did not resume")
		}
		first = false
		return postOnce(c)
	}, func() {}, nil
}

// survivor is the configuration of TestNobodyNotices, in its variants.
type survivor struct {
	app, db string // the servers
	cert    string // folder
	extra   bool   // one more listener
}

func (s survivor) text(p *process) string {
	extra := ""
	if s.extra {
		extra = fmt.Sprintf("  - {name: extra, address: \"%s\", protocol: tcp, upstream: db}\n", p.address(portExtra))
	}
	cert := fmt.Sprintf("{certificates: [{cert: %s/tls.crt, key: %[1]s/tls.key}]}", s.cert)
	onTrial := strings.Replace(quick, "probation: 0s", "probation: 100ms", 1)
	return p.head(onTrial) + fmt.Sprintf(`
listeners:
  - {name: web, address: "%s", protocol: http, upstream: app}
  - {name: webs, address: "%s", protocol: http, upstream: app, tls: %s}
  - {name: db, address: "%s", protocol: tcp, upstream: db}
  - {name: dbs, address: "%s", protocol: tcp, upstream: db, tls: %s}
%supstreams:
  app: {servers: [%s]}
  db: {servers: [%s]}
`, p.address(portHTTP), p.address(portHTTPS), cert, p.address(portTCP), p.address(portTLS), cert, extra, s.app, s.db)
}

// Clients of every kind, which never retry, lose nothing in upgrades and reloads; and those whose connection can stay
// have it to the end.
func TestNobodyNotices(t *testing.T) {
	p := newProcess(t)
	ca := testca.New(t, "ca")
	certs := [2]string{t.TempDir(), t.TempDir()}
	var leaves [2]testca.Leaf
	for i, dir := range certs {
		leaves[i] = ca.Issue(t, testca.Request{Names: []string{"app"}})
		leaves[i].Write(t, dir)
	}
	apps := [2]string{newWebServer(t, "a"), newWebServer(t, "b")}
	dbs := [2]string{newEchoServer(t).Addr().String(), newEchoServer(t).Addr().String()}
	now := survivor{app: apps[0] + "," + apps[1], db: dbs[0], cert: certs[0]}
	p.run(now.text(p))

	cr := everybody(t, p, ca.Pool())
	var extra net.Conn
	served := 0
	for i := range *upgrades {
		p.upgrade()
		switch i % 5 {
		case 0: // the file says what it said
			if changes := p.reload(now.text(p)); len(changes) > 0 {
				t.Errorf("nothing has changed, but %q", changes)
			}
		case 1:
			now.extra = true
			p.reload(now.text(p))
			extra = p.dial(portExtra)
			p.must(echoed(extra))
		case 2:
			p.must(echoed(extra))
			now.extra = false
			p.reload(now.text(p))
			refused(t, p.address(portExtra))
		case 3:
			now.app, now.db = apps[i/5%2], dbs[i/5%2]
			p.reload(now.text(p))
		case 4:
			served = 1 - served
			now.cert = certs[served]
			p.reload(now.text(p))
			c, err := dialTLS(p.address(portHTTPS), &tls.Config{RootCAs: ca.Pool(), ServerName: "app"})
			p.must(err)
			if !c.ConnectionState().PeerCertificates[0].Equal(leaves[served].X509) {
				t.Error("not the new certificate")
			}
			c.Close()
		}
		if extra != nil { // of a listener that is no more, and in processes that came after
			if err := echoed(extra); err != nil {
				t.Errorf("a connection of the listener that came and went: %v", err)
			}
		}
	}
	time.Sleep(300 * time.Millisecond) // some traffic on the last one
	status := p.status()
	cr.home()
	t.Logf("%d upgrades, and as many reloads; then %d processes lived", *upgrades, 1+len(status.Living))
	if status.Generation != 1+*upgrades {
		t.Errorf("generation %d after %d upgrades", status.Generation, *upgrades)
	}
	for _, pid := range status.Living { // tls connections have held them
		p.exits(pid)
	}
}

// refused waits until nobody listens on an address. A listener that was removed takes what was on its way to it.
func refused(t testing.TB, address string) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		c, err := net.DialTimeout("tcp", address, patience)
		if err != nil {
			return
		}
		c.Close()
	}
	t.Errorf("somebody still listens on %s", address)
}
