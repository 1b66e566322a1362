package demo

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/internal/testca"
)

// get makes one request on a connection of its own.
func get(address string, config *tls.Config) (tls.ConnectionState, error) {
	d := &net.Dialer{Timeout: patience}
	c, err := tls.DialWithDialer(d, "tcp", address, config)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n"); err != nil {
		return tls.ConnectionState{}, err
	}
	if _, err := io.ReadAll(c); err != nil { // the session tickets are in it
		return tls.ConnectionState{}, err
	}
	return c.ConnectionState(), nil
}

// Clients that connect again and again need one full handshake each, however often the server is upgraded.
func TestSessionsResumeAcrossUpgrades(t *testing.T) {
	p := start(t)
	quit := make(chan struct{})
	var clients sync.WaitGroup
	var full, resumed atomic.Int64
	for i := range *conns {
		config := &tls.Config{InsecureSkipVerify: true, ServerName: "demo", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
		if i%4 == 0 {
			config.MaxVersion = tls.VersionTLS12
		}
		clients.Go(func() {
			for {
				state, err := get(p.https, config)
				switch {
				case err != nil:
					t.Errorf("client %d: %v", i, err)
					return
				case state.DidResume:
					resumed.Add(1)
				default:
					full.Add(1)
				}
				select {
				case <-quit:
					return
				case <-time.After(20 * time.Millisecond):
				}
			}
		})
	}
	for range *upgrades {
		p.upgrade()
	}
	close(quit)
	clients.Wait()
	if full.Load() != int64(*conns) || resumed.Load() < int64(*conns) {
		t.Errorf("%d full handshakes and %d resumed ones of %d clients", full.Load(), resumed.Load(), *conns)
	}
	t.Logf("%d clients, %d upgrades: %d full handshakes, %d resumed", *conns, *upgrades, full.Load(), resumed.Load())
}

// A certificate that is replaced in its file is served by the process that runs, and by the next one.
func TestCertificateFilesChange(t *testing.T) {
	ca := testca.New(t, "ca")
	names := testca.Request{Names: []string{"demo"}}
	dir := t.TempDir()
	ca.Issue(t, names).Write(t, dir)
	p := start(t, envCert+"="+dir)
	config := &tls.Config{RootCAs: ca.Pool(), ServerName: "demo"}
	for range 2 {
		next := ca.Issue(t, names)
		next.Write(t, dir)
		p.until("the new certificate is served", func() bool {
			state, err := get(p.https, config)
			if err != nil {
				t.Fatal(err)
			}
			return state.PeerCertificates[0].Equal(next.X509)
		})
		p.upgrade()
		if state, err := get(p.https, config); err != nil || !state.PeerCertificates[0].Equal(next.X509) {
			t.Errorf("after an upgrade: %v", err)
		}
	}
}
