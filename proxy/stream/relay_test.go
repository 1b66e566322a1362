package stream

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/proxy/config"
	"github.com/seed-e3b9a99f/baton/proxy/upstream"
)

func TestHalfClose(t *testing.T) {
	b := newBackend(t)
	v := serve(t, plain(b))
	client := v.dial()
	server := b.accept()
	say(t, client, "request")
	closeWrite(t, client)
	hearEnd(t, server, "request")
	say(t, server, "response")
	server.Close()
	hearEnd(t, client, "response")
	e := v.wantEvent("", 7, 8)
	if e.Listener != "test" || e.Upstream != "app" || e.Server != b.address() || e.Retries != 0 || e.Duration <= 0 ||
		e.Source.String() != client.LocalAddr().String() || e.Client != e.Source.String() {
		t.Errorf("observed %+v", e)
	}
}

func TestServerEndsFirst(t *testing.T) {
	b := newBackend(t)
	v := serve(t, plain(b))
	client := v.dial()
	server := b.accept()
	say(t, server, "bye")
	closeWrite(t, server)
	hearEnd(t, client, "bye")
	say(t, client, "one more thing")
	client.Close()
	hearEnd(t, server, "one more thing")
	v.wantEvent("", 14, 3)
}

func TestIdleTimeoutOfARelay(t *testing.T) {
	b := newBackend(t)
	s := plain(b)
	s.listener.IdleTimeout = 100 * time.Millisecond
	v := serve(t, s)
	client := v.dial()
	server := b.accept()
	say(t, client, "x")
	hearEnd(t, server, "x")
	hearEnd(t, client, "")
	v.wantEvent(Idle, 1, 0)
}

func TestResetsPass(t *testing.T) {
	b := newBackend(t)
	v := serve(t, plain(b))
	for name, ends := range map[string]func(client, server net.Conn) (cut, other net.Conn){
		"of the client": func(client, server net.Conn) (net.Conn, net.Conn) { return client, server },
		"of the server": func(client, server net.Conn) (net.Conn, net.Conn) { return server, client },
	} {
		client := v.dial()
		server := b.accept()
		say(t, client, "x")
		hear(t, server, "x")
		cut, other := ends(client, server)
		reset(cut)
		hearReset(t, other)
		if e := v.wantEvent(Reset, 1, 0); e.Err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	// The server's own counts against it, the client's does not.
	if n := v.settings.Upstreams["app"].Pool.Status()[0].Failures; n != 1 {
		t.Errorf("the server has %d failures, want 1", n)
	}
}

func TestDeadServersArePassedOver(t *testing.T) {
	b := newBackend(t)
	s := plain(b)
	s.upstreams = to(deadAddress(t), deadAddress(t), b.address())
	v := serve(t, s)
	client := v.dial()
	say(t, client, "hello")
	server := b.accept()
	hear(t, server, "hello")
	client.Close()
	server.Close()
	if e := v.wantEvent("", 5, 0); e.Retries != 2 || e.Server != b.address() {
		t.Errorf("observed %d retries and server %s, want 2 and %s", e.Retries, e.Server, b.address())
	}
}

func TestAllServersDead(t *testing.T) {
	dead := []string{deadAddress(t), deadAddress(t)}
	v := serve(t, setup{listener: config.Listener{Protocol: config.TCP, Upstream: "app"}, upstreams: to(dead...)})
	v.refused()
	if e := v.wantEvent(ConnectRefused, 0, 0); e.Retries != 1 || !errors.Is(e.Err, syscall.ECONNREFUSED) {
		t.Errorf("observed %+v", e)
	}
	for _, s := range v.settings.Upstreams["app"].Pool.Status() {
		if s.Failures != 1 {
			t.Errorf("%s has %d failures, want 1", s.Address, s.Failures)
		}
	}
}

func TestAnUpstreamThatIsFull(t *testing.T) {
	b := newBackend(t)
	s := plain(b)
	s.upstreams["app"] = config.Upstream{Servers: []string{b.address()}, MaxConnections: 1}
	v := serve(t, s)
	first := v.dial()
	server := b.accept()
	v.refused()
	if e := v.wantEvent(Busy, 0, 0); !errors.Is(e.Err, upstream.ErrBusy) {
		t.Errorf("the error is %v", e.Err)
	}
	first.Close()
	server.Close()
	v.wantEvent("", 0, 0)
}

func TestNoUpstreamForAListener(t *testing.T) {
	b := newBackend(t)
	s := plain(b)
	s.listener.Upstream = "gone"
	v := serve(t, s)
	v.refused()
	v.wantEvent(NoRoute, 0, 0)
}

func TestMaxConnections(t *testing.T) {
	b := newBackend(t)
	s := plain(b)
	s.listener.MaxConnections = 1
	v := serve(t, s)
	type session struct{ client, server net.Conn }
	end := func(s session) {
		s.client.Close()
		s.server.Close()
		v.wantEvent("", 0, 0)
	}
	first := session{v.dial(), b.accept()}
	second := session{client: v.dial()}
	if b.acceptWithin(moment) != nil || v.accepted.Load() != 1 {
		t.Fatal("one more than max_connections is served")
	}
	if active, accepted := v.server.Counts(); active != 1 || accepted != 1 {
		t.Errorf("counts %d now, %d in all", active, accepted)
	}
	end(first)
	second.server = b.accept() // an end wakes it

	third := session{client: v.dial()}
	if b.acceptWithin(moment) != nil {
		t.Fatal("one more than max_connections is served")
	}
	raised := v.settings
	raised.Listener.MaxConnections = 2
	v.server.Use(raised)
	third.server = b.accept() // a raised limit wakes it
	end(second)
	end(third)
}

func TestPause(t *testing.T) {
	b := newBackend(t)
	v := serve(t, plain(b))
	until(t, "a wait in Accept", func() bool {
		v.server.mu.Lock()
		defer v.server.mu.Unlock()
		return v.server.waiting
	})
	v.server.Pause(true)
	clients := []net.Conn{v.dial(), v.dial()} // the first is accepted by the Accept that waits
	until(t, "the first is accepted", func() bool { return v.accepted.Load() == 1 })
	if b.acceptWithin(moment) != nil || v.accepted.Load() != 1 {
		t.Fatal("a client is served during the pause")
	}
	v.server.Pause(false)
	for range clients {
		b.accept().Close()
	}
	for _, c := range clients {
		hearEnd(t, c, "")
		c.Close()
	}
	v.wantEvent("", 0, 0)
	v.wantEvent("", 0, 0)
}

// Who was accepted is served, and who was not is the next process's.
func TestExitDuringAPause(t *testing.T) {
	b := newBackend(t)
	v := serve(t, plain(b))
	until(t, "a wait in Accept", func() bool {
		v.server.mu.Lock()
		defer v.server.mu.Unlock()
		return v.server.waiting
	})
	v.server.Pause(true)
	client := v.dial()
	until(t, "it is accepted", func() bool { return v.accepted.Load() == 1 })
	close(v.gen.exit)
	server := b.accept()
	say(t, client, "hello")
	hear(t, server, "hello")
	client.Close()
	server.Close()
	v.wantEvent("", 5, 0)
	<-v.served
}

func TestSettingsMayComeLater(t *testing.T) {
	s := New("test", Options{Exit: make(chan struct{})})
	entered := make(chan bool)
	go func() { entered <- s.enter() }()
	select {
	case <-entered:
		t.Fatal("a server without settings accepts")
	case <-time.After(moment):
	}
	s.Use(Settings{})
	if !<-entered {
		t.Error("it gives up")
	}
}

func TestUnixOnBothSides(t *testing.T) {
	b := &backend{t, listen(t, "unix", socketPath(t, "server"))}
	s := plain(b)
	s.upstreams = to("unix:" + b.address())
	s.on = listen(t, "unix", socketPath(t, "proxy"))
	v := serve(t, s)
	client := v.dial()
	server := b.accept()
	say(t, client, "request")
	closeWrite(t, client)
	hearEnd(t, server, "request")
	say(t, server, "response")
	server.Close()
	hearEnd(t, client, "response")
	if e := v.wantEvent("", 7, 8); e.Source.IsValid() || e.Client != "" {
		t.Errorf("a Unix socket has the address %v", e.Source)
	}
}

func TestTheEndOfTheDrainCutsRelays(t *testing.T) {
	b := newBackend(t)
	v := serve(t, plain(b))
	client := v.dial()
	server := b.accept()
	say(t, client, "hello")
	hear(t, server, "hello")
	v.stop()
	hearReset(t, client)
	hearReset(t, server)
	v.wantEvent(Cut, 5, 0)
}

// Nor does it wait for a client who has said nothing yet.
func TestTheEndOfTheDrainCutsThoseWhoWait(t *testing.T) {
	b := newBackend(t)
	s := plain(b)
	s.listener.Protocol, s.listener.PeekTimeout = config.TLSPassthrough, time.Hour
	v := serve(t, s)
	client := v.dial()
	until(t, "it is accepted", func() bool { return v.accepted.Load() == 1 })
	v.stop()
	hearReset(t, client)
	v.wantEvent(Cut, 0, 0)
}

// A process that drains serves those whom it has accepted, though there was no relay to wait for yet.
func TestWhoIsSlowToSpeakIsServedAfterTheExit(t *testing.T) {
	b := newBackend(t)
	v := serve(t, passthrough(b))
	client := v.dial()
	until(t, "it is accepted", func() bool { return v.accepted.Load() == 1 })
	v.ln.Close()
	close(v.gen.exit)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		v.gen.work.Wait()
	}()
	select {
	case <-drained:
		t.Error("the drain is over before everybody is served")
	case <-time.After(moment):
	}
	hello := clientHello(t, &tls.Config{ServerName: "a.test"})
	say(t, client, hello)
	server := b.accept()
	hear(t, server, hello)
	client.Close()
	server.Close()
	v.wantEvent("", uint64(len(hello)), 0)
	<-drained
}

// breaking is a listener without descriptors for a while.
type breaking struct {
	net.Listener
	failures chan error
}

func (l *breaking) Accept() (net.Conn, error) {
	select {
	case err := <-l.failures:
		return nil, err
	default:
		return l.Listener.Accept()
	}
}

func TestAcceptGoesOnAfterErrors(t *testing.T) {
	b := newBackend(t)
	s := plain(b)
	ln := &breaking{listen(t, "tcp", "127.0.0.1:0"), make(chan error, 2)}
	ln.failures <- syscall.EMFILE
	ln.failures <- syscall.EMFILE
	s.on = ln
	v := serve(t, s)
	client := v.dial()
	server := b.accept()
	client.Close()
	server.Close()
	v.wantEvent("", 0, 0)
	if _, accepted := v.server.Counts(); accepted != 1 {
		t.Errorf("counts %d in all", accepted)
	}
}

// A server of which nothing came before it died is not one that works.
func TestFirstBytesThatFail(t *testing.T) {
	b := newBackend(t)
	server := dial(t, "tcp", b.address())
	server.Close()
	c := &conn{early: []byte("hello")}
	c.Server = "the server"
	err := begin(server, config.Upstream{ConnectTimeout: time.Second}, c, addrPort(nil))
	if err == nil || !ofServer(err) || !strings.Contains(err.Error(), "first bytes to the server: ") || c.Up != 0 {
		t.Errorf("error %v, %d bytes", err, c.Up)
	}
}

func TestBigTransfersCount(t *testing.T) {
	const size = 3 << 20
	b := newBackend(t)
	v := serve(t, plain(b))
	client := v.dial()
	server := b.accept()
	go func() {
		_, _ = io.Copy(server, io.LimitReader(zeros{}, size))
		server.(*net.TCPConn).CloseWrite()
	}()
	if n, err := io.Copy(io.Discard, client); n != size || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	client.Close()
	hearEnd(t, server, "")
	v.wantEvent("", 0, size)
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }
