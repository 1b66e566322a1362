package stream

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-e3b9a99f/baton/internal/testca"
	"github.com/seed-e3b9a99f/baton/proxy/config"
)

// ending is a tcp listener that ends TLS in front of b, and what its clients dial with.
func ending(t testing.TB, b *backend) (setup, *tls.Config) {
	t.Helper()
	ca := testca.New(t, "servers")
	s := plain(b)
	s.tls = &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, testca.Request{Names: []string{"a.test"}}).TLS}}
	return s, &tls.Config{ServerName: "a.test", RootCAs: ca.Pool()}
}

func TestTLSEndsHere(t *testing.T) {
	b := newBackend(t)
	s, c := ending(t, b)
	s.tls.NextProtos = []string{"postgresql", "other"}
	v := serve(t, s)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		c.MaxVersion, c.NextProtos = version, []string{"unknown", "other"}
		raw := v.dial()
		client := tls.Client(raw, c)
		say(t, client, "request")
		closeWrite(t, client)
		server := b.accept()
		hearEnd(t, server, "request")
		say(t, server, "response")
		server.Close()
		hearEnd(t, client, "response")
		hearEnd(t, raw, "") // TCP ends as well
		if state := client.ConnectionState(); state.NegotiatedProtocol != "other" || state.Version != version {
			t.Errorf("protocol %q, version %x", state.NegotiatedProtocol, state.Version)
		}
		if e := v.wantEvent("", 7, 8); e.SNI != "a.test" || e.Upstream != "app" || e.Source.String() != raw.LocalAddr().String() {
			t.Errorf("observed %+v", e)
		}
	}
}

func TestTLSServerEndsFirst(t *testing.T) {
	b := newBackend(t)
	s, c := ending(t, b)
	v := serve(t, s)
	client := tls.Client(v.dial(), c)
	say(t, client, "hello")
	server := b.accept()
	hear(t, server, "hello")
	say(t, server, "bye")
	closeWrite(t, server)
	hearEnd(t, client, "bye")
	say(t, client, "one more thing")
	client.Close()
	hearEnd(t, server, "one more thing")
	v.wantEvent("", 19, 3)
}

func TestTLSClientEndsWithoutCloseNotify(t *testing.T) {
	b := newBackend(t)
	s, c := ending(t, b)
	v := serve(t, s)
	raw := v.dial()
	client := tls.Client(raw, c)
	say(t, client, "request")
	closeWrite(t, raw)
	server := b.accept()
	hearEnd(t, server, "request")
	say(t, server, "response")
	server.Close()
	hearEnd(t, client, "response")
	v.wantEvent("", 7, 8)
}

// An end in the middle of a record has lost bytes.
func TestTLSClientEndsWithinARecord(t *testing.T) {
	b := newBackend(t)
	s, c := ending(t, b)
	v := serve(t, s)
	raw := v.dial()
	client := tls.Client(raw, c)
	say(t, client, "request")
	server := b.accept()
	hear(t, server, "request")
	say(t, raw, "\x17\x03\x03\x01\x00half of 256 bytes")
	closeWrite(t, raw)
	hearReset(t, server)
	if e := v.wantEvent(Reset, 7, 0); ofServer(e.Err) {
		t.Errorf("the server's doing: %v", e.Err)
	}
}

func TestTLSServerResetIsNoCleanEnd(t *testing.T) {
	b := newBackend(t)
	s, c := ending(t, b)
	v := serve(t, s)
	client := tls.Client(v.dial(), c)
	say(t, client, "hello")
	server := b.accept()
	hear(t, server, "hello")
	say(t, server, "half of the resp")
	hear(t, client, "half of the resp")
	reset(server)
	hearReset(t, client)
	if e := v.wantEvent(Reset, 5, 16); !ofServer(e.Err) {
		t.Errorf("not the server's doing: %v", e.Err)
	}
}

func TestTLSClientResetIsNoCleanEnd(t *testing.T) {
	b := newBackend(t)
	s, c := ending(t, b)
	v := serve(t, s)
	client := tls.Client(v.dial(), c)
	say(t, client, "half of the requ")
	server := b.accept()
	hear(t, server, "half of the requ")
	reset(client)
	hearReset(t, server)
	if e := v.wantEvent(Reset, 16, 0); ofServer(e.Err) {
		t.Errorf("the server's doing: %v", e.Err)
	}
}

func TestTLSHandshakesThatFail(t *testing.T) {
	b := newBackend(t)
	s, c := ending(t, b)
	clients := testca.New(t, "clients")
	s.tls.ClientCAs, s.tls.ClientAuth = clients.Pool(), tls.RequireAndVerifyClientCert
	s.tls.MinVersion = tls.VersionTLS12
	v := serve(t, s)
	stranger := testca.New(t, "strangers").Issue(t, testca.Request{})
	for name, test := range map[string]struct {
		certificate tls.Certificate
		version     uint16
		says        string
	}{
		"no certificate, 1.3":    {tls.Certificate{}, tls.VersionTLS13, "certificate required"},
		"no certificate, 1.2":    {tls.Certificate{}, tls.VersionTLS12, "handshake failure"},
		"another CA's, 1.3":      {stranger.TLS, tls.VersionTLS13, "unknown certificate authority"},
		"another CA's, 1.2":      {stranger.TLS, tls.VersionTLS12, "unknown certificate authority"},
		"no version that is old": {tls.Certificate{}, tls.VersionTLS11, "protocol version"},
	} {
		c := c.Clone()
		c.MinVersion, c.MaxVersion = tls.VersionTLS10, test.version
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &test.certificate, nil }
		client := tls.Client(v.dial(), c)
		_, err := client.Read(make([]byte, 1))
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: the client is told %v, want %q", name, err, test.says)
		}
		v.wantEvent(Handshake, 0, 0)
	}
	client := v.dial()
	say(t, client, "GET / HTTP/1.1\r\n\r\n")
	_, _ = io.Copy(io.Discard, client)
	v.wantEvent(Handshake, 0, 0)
	if b.acceptWithin(moment) != nil {
		t.Error("the server hears of one of them")
	}

	c.Certificates = []tls.Certificate{clients.Issue(t, testca.Request{}).TLS}
	good := tls.Client(v.dial(), c)
	say(t, good, "hello")
	server := b.accept()
	hear(t, server, "hello")
	good.Close()
	server.Close()
	v.wantEvent("", 5, 0)
}

func TestTLSHandshakeTimeout(t *testing.T) {
	s, _ := ending(t, newBackend(t))
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		begin := time.Now()
		v := &Server{ended: t.Context()}
		class, err := v.greet(&Settings{TLS: s.tls}, &conn{Conn: near})
		if took := time.Since(begin); class != Handshake || err == nil || took != handshakeTimeout {
			t.Errorf("class %q after %s: %v", class, took, err)
		}
		if _, err := far.Read(make([]byte, 1)); err == nil {
			t.Error("the connection is left open")
		}
	})
}

func TestTLSHeaderBeforeTheHandshake(t *testing.T) {
	b := newBackend(t)
	s, c := ending(t, b)
	s.listener.ProxyProtocol = trusting(b).listener.ProxyProtocol
	s.listener.ProxyProtocol.Timeout = 10 * moment
	s.upstreams["app"] = config.Upstream{Servers: []string{b.address()}, ProxyProtocol: 1}
	v := serve(t, s)
	raw := v.dial()
	// The header and the hello arrive together.
	client := tls.Client(&prefixed{Conn: raw, prefix: header(t, 2, source4, destination4)}, c)
	say(t, client, "hello")
	server := b.accept()
	hear(t, server, "PROXY TCP4 192.0.2.7 198.51.100.1 5555 443\r\nhello")
	if b.acceptWithin(12*moment) != nil { // the header's time is over
		t.Error("somebody else connects")
	}
	say(t, client, "more")
	hear(t, server, "more")
	client.Close()
	server.Close()
	if e := v.wantEvent("", 9, 0); e.Source.String() != source4 {
		t.Errorf("the source is %s", e.Source)
	}
}

// prefixed writes something before what is written first.
type prefixed struct {
	net.Conn
	prefix string
}

func (p *prefixed) Write(b []byte) (int, error) {
	n, err := p.Conn.Write(append([]byte(p.prefix), b...))
	n -= len(p.prefix)
	p.prefix = ""
	return max(n, 0), err
}

func TestTLSIdleTimeout(t *testing.T) {
	b := newBackend(t)
	s, c := ending(t, b)
	s.listener.IdleTimeout = 2 * moment
	v := serve(t, s)
	client := tls.Client(v.dial(), c)
	say(t, client, "x")
	server := b.accept()
	hear(t, server, "x")
	hearEnd(t, client, "")
	hearEnd(t, server, "")
	v.wantEvent(Idle, 1, 0)
}

func TestTLSTheEndOfTheDrain(t *testing.T) {
	b := newBackend(t)
	s, c := ending(t, b)
	v := serve(t, s)
	client := tls.Client(v.dial(), c)
	say(t, client, "hello")
	server := b.accept()
	hear(t, server, "hello")
	v.ln.Close()
	close(v.gen.exit)
	say(t, client, "still")
	hear(t, server, "still")
	select {
	case <-v.served:
		t.Error("Serve has returned while a connection lives")
	default:
	}
	close(v.gen.done)
	hearReset(t, client)
	hearReset(t, server)
	v.wantEvent(Cut, 10, 0)
	<-v.served
}

func TestTLSTheEndOfTheDrainCutsHandshakes(t *testing.T) {
	s, _ := ending(t, newBackend(t))
	v := serve(t, s)
	client := v.dial()
	until(t, "it is accepted", func() bool { return v.accepted.Load() == 1 })
	v.stop()
	_, _ = io.Copy(io.Discard, client) // it ends, by a reset or not: no client takes that for a handshake
	v.wantEvent(Cut, 0, 0)
}

func TestTLSAllServersDead(t *testing.T) {
	s, c := ending(t, newBackend(t))
	s.upstreams = to(deadAddress(t))
	v := serve(t, s)
	client := tls.Client(v.dial(), c)
	if err := client.Handshake(); err == nil {
		hearReset(t, client)
	} else if !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
	if e := v.wantEvent(ConnectRefused, 0, 0); e.SNI != "a.test" {
		t.Errorf("observed %+v", e)
	}
}
