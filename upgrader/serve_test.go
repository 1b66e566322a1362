//go:build unix

package upgrader_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// startServing starts a service with a plain and a TLS listener, and returns their addresses.
func startServing(t *testing.T) (s *service, plain, secure string) {
	t.Helper()
	pidFile := filepath.Join(t.TempDir(), "app.pid")
	writeCertificate(t, pidFile+".crt", pidFile+".key")
	s = startService(t, settings{
		Probation: short, PIDFile: pidFile,
		Listeners: []listenerSetting{{"web", "tcp", "127.0.0.1:0"}, {"secure", "tcp", "127.0.0.1:0"}},
	})
	s.awaitPhase(0, 1, "serving")
	return s, s.address("web"), s.address("secure")
}

func writeCertificate(t *testing.T, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

var insecure = &tls.Config{InsecureSkipVerify: true} // the certificate is the test's own

// poster sends POSTs on one connection after the other, as their responses allow, and never sends one twice.
type poster struct {
	dial func() (net.Conn, error)
	c    net.Conn
	r    *bufio.Reader
}

func (p *poster) post(n int) error {
	if p.c == nil {
		c, err := p.dial()
		if err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		p.c, p.r = c, bufio.NewReader(c)
	}
	_ = p.c.SetDeadline(time.Now().Add(patience))
	body := fmt.Sprintf("request %d", n)
	if _, err := fmt.Fprintf(p.c, "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n%s", len(body), body); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	resp, err := http.ReadResponse(p.r, nil)
	if err != nil {
		return fmt.Errorf("response: %w", err)
	}
	got, err := io.ReadAll(resp.Body)
	if err != nil || string(got) != body {
		return fmt.Errorf("body %q: %w", got, err)
	}
	if resp.Close {
		p.c.Close()
		p.c = nil
	}
	return nil
}

// Clients that never retry lose nothing, on connections new and old, plain and TLS, while the service is upgraded.
func TestServeLosesNothing(t *testing.T) {
	s, plain, secure := startServing(t)
	dialers := map[string]func() (net.Conn, error){
		"plain": func() (net.Conn, error) { return net.Dial("tcp", plain) },
		"TLS":   func() (net.Conn, error) { return tls.Dial("tcp", secure, insecure) },
	}
	quit := make(chan struct{})
	var clients sync.WaitGroup
	var done atomic.Int64
	client := func(kind string, dial func() (net.Conn, error), perConn int) {
		defer clients.Done()
		p := &poster{dial: dial}
		for n := 0; ; n++ {
			select {
			case <-quit:
				if p.c != nil {
					p.c.Close()
				}
				return
			default:
			}
			if err := p.post(n); err != nil {
				t.Errorf("%s, request %d: %v", kind, n, err)
				return
			}
			done.Add(1)
			if perConn > 0 && n%perConn == 0 && p.c != nil {
				p.c.Close()
				p.c = nil
			}
		}
	}
	for kind, dial := range dialers {
		for range 4 {
			clients.Add(2)
			go client(kind+" keep-alive", dial, 0)
			go client(kind+" new", dial, 1)
		}
	}
	for generation := 2; generation < 7; generation++ {
		s.upgrade(generation)
		s.awaitPhase(0, generation-1, "exited")
	}
	close(quit)
	clients.Wait()
	if done.Load() < 100 {
		t.Errorf("only %d requests: the clients did nothing", done.Load())
	}
}

// Connections that say nothing, or not all, when the process is replaced are served when they do.
func TestServeWaitsForTheSilentAndTheSlow(t *testing.T) {
	s, plain, secure := startServing(t)
	dial := func() (net.Conn, *bufio.Reader) {
		c, err := net.Dial("tcp", plain)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(patience))
		return c, bufio.NewReader(c)
	}
	send := func(c net.Conn, text string) {
		t.Helper()
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
	}
	silent, silentR := dial()
	idle, idleR := dial()
	s.ask(idle, idleR)
	upload, uploadR := dial()
	send(upload, "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 11\r\n\r\nhello")
	head, headR := dial()
	send(head, "POST / HTTP/1.1\r\nHo")
	stream, streamR := dial()
	send(stream, "POST /slow HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
	hijacked, hijackedR := dial()
	send(hijacked, "GET /hijack HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhi")
	waiting, waitingR := dial()
	send(waiting, "POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
	handshake, err := net.Dial("tcp", secure)
	if err != nil {
		t.Fatal(err)
	}
	defer handshake.Close()

	s.upgrade(2)
	s.awaitPhase(0, 1, "draining")

	if a := s.ask(silent, silentR); a.generation > 2 { // accepted by the first or by the second
		t.Errorf("silent: %+v", a)
	}
	if a := s.ask(idle, idleR); a.generation != 2 || a.closes {
		t.Errorf("idle: %+v", a)
	}
	response := func(name string, r *bufio.Reader, want string) {
		t.Helper()
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != want {
			t.Errorf("%s: body %q, %v", name, body, err)
		}
	}
	send(upload, " world")
	response("upload", uploadR, "hello world")
	send(head, "st: test\r\nContent-Length: 2\r\n\r\nok")
	response("half a head", headR, "ok")
	send(stream, "6\r\n world\r\n0\r\n\r\n")
	response("stream", streamR, "hello world")
	if resp, err := http.ReadResponse(waitingR, nil); err != nil || resp.StatusCode != http.StatusContinue {
		t.Fatalf("100-continue: %v, %v", resp, err)
	}
	send(waiting, "hello")
	response("100-continue", waitingR, "hello")

	if resp, err := http.ReadResponse(hijackedR, nil); err != nil || resp.StatusCode != http.StatusSwitchingProtocols ||
		resp.Header.Get("Connection") != "Upgrade" {
		t.Fatalf("hijacked: %v, %v", resp, err)
	}
	send(hijacked, " there")
	if got := make([]byte, 8); true {
		if _, err := io.ReadFull(hijackedR, got); err != nil || string(got) != "hi there" {
			t.Errorf("hijacked: %q, %v", got, err)
		}
	}
	if p := s.Phase(1); p != "draining" {
		t.Errorf("the first generation is %s while a hijacked connection lives", p)
	}
	hijacked.Close()
	for name, c := range map[string]*bufio.Reader{"upload": uploadR, "half a head": headR, "stream": streamR, "100": waitingR} {
		conn := map[string]net.Conn{"upload": upload, "half a head": head, "stream": stream, "100": waiting}[name]
		if a := s.ask(conn, c); a.generation != 2 || a.closes { // moved when it was idle
			t.Errorf("%s, second request: %+v", name, a)
		}
	}

	tc := tls.Client(handshake, insecure)
	if a := s.ask(tc, bufio.NewReader(tc)); a.generation > 2 {
		t.Errorf("TLS: %+v", a)
	}
	tc.Close()
	s.awaitPhase(0, 1, "exited")
}

// Phase returns the last phase that a generation has logged.
func (s *service) Phase(generation int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := ""
	for _, l := range s.lines {
		if l.Msg == "phase" && l.Generation == generation {
			last = l.Phase
		}
	}
	return last
}

// The last response on a connection arrives whole, though its client has sent more requests behind it and reads slowly.
func TestServeLastResponseIsWhole(t *testing.T) {
	s, _, secure := startServing(t)
	raw, err := net.Dial("tcp", secure)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	_ = raw.(*net.TCPConn).SetReadBuffer(16 << 10)
	c := tls.Client(raw, insecure)
	r := bufio.NewReader(c)
	s.ask(c, r)
	s.upgrade(2)
	s.awaitPhase(0, 1, "draining")

	body := bytes.Repeat([]byte("0123456789abcdef"), 16<<10)
	go func() {
		request := fmt.Sprintf("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		_, _ = io.WriteString(c, strings.Repeat(request, 5)) // the others go unanswered
	}()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !resp.Close {
		t.Fatal("the response does not end the connection")
	}
	time.Sleep(time.Second) // net/http gives up after half of that; there is nothing to wait for
	if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, body) {
		t.Errorf("%d of %d bytes, %v", len(got), len(body), err)
	}
}

// The service ends when it stops: what is under way is answered, and nobody waits for the idle.
func TestServeStops(t *testing.T) {
	s, plain, _ := startServing(t)
	idle, err := net.Dial("tcp", plain)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	s.ask(idle, bufio.NewReader(idle))
	busy, err := net.Dial("tcp", plain)
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	if _, err := io.WriteString(busy, "POST /slow HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhello"); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(busy)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.signal(s.pid(), syscall.SIGTERM)
	s.awaitPhase(0, 1, "stopping")
	_ = idle.SetReadDeadline(time.Now().Add(patience))
	if n, err := idle.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the idle connection: %d bytes, %v", n, err)
	}
	if _, err := io.WriteString(busy, "world"); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(resp.Body); err != nil || string(got) != "helloworld" {
		t.Errorf("the busy connection: %q, %v", got, err)
	}
	s.awaitPhase(0, 1, "exited")
}

// A client resumes its session with whichever generation it meets, and not on another listener.
func TestServeTLSResumes(t *testing.T) {
	s, _, secure := startServing(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := &tls.Config{
			InsecureSkipVerify: true, MinVersion: version, MaxVersion: version, ServerName: "test",
			ClientSessionCache: tls.NewLRUClientSessionCache(4),
		}
		handshake := func() bool {
			t.Helper()
			c, err := tls.Dial("tcp", secure, config)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			s.ask(c, bufio.NewReader(c)) // with TLS 1.3 the ticket comes before the response
			return c.ConnectionState().DidResume
		}
		if handshake() {
			t.Error("resumed without a session")
		}
		if !handshake() {
			t.Error("does not resume")
		}
		for range 3 {
			last := s.latest()
			s.upgrade(last + 1)
			s.awaitPhase(0, last, "draining")
			if !handshake() {
				t.Errorf("TLS %x: does not resume after an upgrade", version)
			}
		}
	}
}

// latest returns the newest generation that has logged anything.
func (s *service) latest() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := 0
	for _, l := range s.lines {
		last = max(last, l.Generation)
	}
	return last
}
