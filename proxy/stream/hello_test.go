package stream

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/seed-e3b9a99f/baton/internal/testca"
	"github.com/seed-e3b9a99f/baton/proxy/config"
)

// passthrough is a tls-passthrough listener in front of b.
func passthrough(b *backend) setup {
	s := plain(b)
	s.listener.Protocol, s.listener.PeekTimeout = config.TLSPassthrough, patience
	return s
}

// recorder is a connection that nobody answers on.
type recorder struct {
	net.Conn
	bytes.Buffer
}

func (r *recorder) Read([]byte) (int, error)         { return 0, io.EOF }
func (r *recorder) Write(b []byte) (int, error)      { return r.Buffer.Write(b) }
func (r *recorder) Close() error                     { return nil }
func (r *recorder) SetWriteDeadline(time.Time) error { return nil }

// clientHello returns what crypto/tls begins with.
func clientHello(t testing.TB, c *tls.Config) string {
	t.Helper()
	c = c.Clone()
	if c.ServerName == "" {
		c.InsecureSkipVerify = true
	}
	var r recorder
	if err := tls.Client(&r, c).Handshake(); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return r.String()
}

// fragmented puts a hello into records of n bytes.
func fragmented(hello string, n int) string {
	var message, out []byte
	for rest := []byte(hello); len(rest) > 0; {
		size := int(binary.BigEndian.Uint16(rest[3:]))
		message = append(message, rest[5:5+size]...)
		rest = rest[5+size:]
	}
	for len(message) > 0 {
		part := message[:min(n, len(message))]
		message = message[len(part):]
		out = append(out, 0x16, 3, 1)
		out = binary.BigEndian.AppendUint16(out, uint16(len(part)))
		out = append(out, part...)
	}
	return string(out)
}

// oldHello is one of TLS 1.0 without extensions.
func oldHello() string {
	body := "\x03\x01" + strings.Repeat("r", 32) + "\x00" + "\x00\x02\x00\x2f" + "\x01\x00"
	message := "\x01\x00\x00" + string(rune(len(body))) + body
	return "\x16\x03\x01\x00" + string(rune(len(message))) + message
}

func manyProtocols(bytes int) []string {
	var all []string
	for n := 0; n < bytes; n += 100 {
		all = append(all, fmt.Sprintf("%099d", n))
	}
	return all
}

func TestPeekHello(t *testing.T) {
	hello := clientHello(t, &tls.Config{ServerName: "a.test"})
	if len(hello) < 1200 {
		t.Errorf("the hello has %d bytes: no post-quantum key share is tested", len(hello))
	}
	for name, test := range map[string]struct{ sent, sni string }{
		"a hello":           {hello, "a.test"},
		"with what follows": {hello + "early data", "a.test"},
		"classic":           {clientHello(t, &tls.Config{ServerName: "a.test", CurvePreferences: []tls.CurveID{tls.X25519}}), "a.test"},
		"TLS 1.2":           {clientHello(t, &tls.Config{ServerName: "a.test", MaxVersion: tls.VersionTLS12}), "a.test"},
		"no name":           {clientHello(t, &tls.Config{}), ""},
		"TLS 1.0":           {oldHello(), ""},
		"30 KiB of ALPN":    {clientHello(t, &tls.Config{ServerName: "a.test", NextProtos: manyProtocols(30 << 10)}), "a.test"},
		"records of 1 byte": {fragmented(hello, 1), "a.test"},
		"of 100 bytes":      {fragmented(hello, 100), "a.test"},
	} {
		for way, wrap := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader,
		} {
			sni, read, err := peekHello(wrap(strings.NewReader(test.sent)))
			if err != nil || sni != test.sni || !strings.HasPrefix(test.sent, string(read)) {
				t.Errorf("%s, %s: name %q, %d of %d bytes, %v", name, way, sni, len(read), len(test.sent), err)
			}
		}
	}
}

func TestPeekHelloRefuses(t *testing.T) {
	hello := clientHello(t, &tls.Config{ServerName: "a.test"})
	tooLong := []byte(fragmented(clientHello(t, &tls.Config{ServerName: "a.test", NextProtos: manyProtocols(60 << 10)}), 100))
	for name, sent := range map[string]string{
		"nothing": "", "half of it": hello[:len(hello)/2], "HTTP": "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
		"zeros": string(make([]byte, 1<<20)), "too long": string(tooLong), "SSH": "SSH-2.0-OpenSSH_9.6\r\n",
		"a record of another type": "\x17" + hello[1:], "empty records": strings.Repeat("\x16\x03\x01\x00\x00", 1<<16),
	} {
		r := strings.NewReader(sent)
		sni, read, err := peekHello(r)
		if err == nil || read != nil || sni != "" {
			t.Errorf("%s: name %q, %d bytes, %v", name, sni, len(read), err)
		}
		if n := len(sent) - r.Len(); n > maxHello {
			t.Errorf("%s: %d bytes were read", name, n)
		}
		if name == "too long" && !errors.Is(err, errTooLong) {
			t.Errorf("too long: %v", err)
		}
	}
}

func FuzzPeekHello(f *testing.F) {
	hello := clientHello(f, &tls.Config{ServerName: "a.test"})
	for _, seed := range []string{
		"", hello, hello[:100], hello + "more", fragmented(hello, 7), oldHello(),
		clientHello(f, &tls.Config{ServerName: "b.test", MaxVersion: tls.VersionTLS12, NextProtos: []string{"h2"}}),
		"GET / HTTP/1.1\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		sni, read, err := peekHello(bytes.NewReader(data))
		slow, _, slowErr := peekHello(iotest.OneByteReader(bytes.NewReader(data)))
		if sni != slow || (err == nil) != (slowErr == nil) {
			t.Fatalf("whole: %q, %v; byte by byte: %q, %v", sni, err, slow, slowErr)
		}
		if err == nil && !bytes.HasPrefix(data, read) {
			t.Fatal("what was read is not what was sent")
		}
		if again, _, err := peekHello(bytes.NewReader(read)); read != nil && (err != nil || again != sni) {
			t.Fatalf("what was read has the name %q, %v; want %q", again, err, sni)
		}
	})
}

// echoTLS is a server that ends TLS and sends back what comes.
func echoTLS(t *testing.T, leaf testca.Leaf) string {
	t.Helper()
	ln := listen(t, "tcp", "127.0.0.1:0")
	ended := make(chan struct{})
	t.Cleanup(func() { ln.Close(); <-ended })
	go func() {
		defer close(ended)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{leaf.TLS}})
			_ = s.SetDeadline(time.Now().Add(patience))
			_, _ = io.Copy(s, s)
			s.Close()
		}
	}()
	return ln.Addr().String()
}

func TestRoutesBySNI(t *testing.T) {
	ca := testca.New(t, "servers")
	names := []string{"a.test", "b.example.test", "c.example.test", "other.test"}
	upstreams := make(map[string]config.Upstream)
	leaves := make(map[string]testca.Leaf)
	for _, name := range []string{"exact", "wild", "rest"} {
		leaves[name] = ca.Issue(t, testca.Request{Names: names})
		upstreams[name] = config.Upstream{Servers: []string{echoTLS(t, leaves[name])}}
	}
	routes := []config.Route{
		{SNI: []string{"*.example.test"}, Upstream: "wild"},
		{SNI: []string{"a.test", "b.example.test"}, Upstream: "exact"}, // comes first though it stands last
	}
	s := setup{upstreams: upstreams, listener: config.Listener{
		Protocol: config.TLSPassthrough, PeekTimeout: patience, Upstream: "rest", Routes: routes,
	}}
	v := serve(t, s)
	for _, test := range []struct{ name, upstream string }{
		{"a.test", "exact"}, {"A.TEST", "exact"}, {"b.example.test", "exact"}, {"c.example.test", "wild"},
		{"d.c.example.test", "rest"}, {"example.test", "rest"}, {"other.test", "rest"}, {"", "rest"},
	} {
		c := tls.Client(v.dial(), &tls.Config{ServerName: test.name, InsecureSkipVerify: true})
		say(t, c, "hello")
		hear(t, c, "hello")
		got := c.ConnectionState().PeerCertificates[0]
		if !got.Equal(leaves[test.upstream].X509) {
			t.Errorf("%q is not sent to %s", test.name, test.upstream)
		}
		closeWrite(t, c)
		hearEnd(t, c, "")
		c.Close()
		e := v.event()
		if e.Class != "" || !strings.EqualFold(e.SNI, test.name) || e.Upstream != test.upstream || e.Up < 500 || e.Down < 500 {
			t.Errorf("%q: observed %+v", test.name, e)
		}
	}

	// Without an upstream of the listener's own, names that no route takes are refused.
	strict := v.settings
	strict.Listener.Upstream = ""
	v.server.Use(strict)
	for range 2 { // an Accept under way still serves by the settings from when it returns
		for _, name := range []string{"other.test", ""} {
			c := v.dial()
			say(t, c, clientHello(t, &tls.Config{ServerName: name}))
			hearReset(t, c)
			if e := v.wantEvent(NoRoute, 0, 0); e.SNI != name || e.Upstream != "" {
				t.Errorf("observed %+v", e)
			}
		}
	}
}

func TestHelloInPieces(t *testing.T) {
	b := newBackend(t)
	v := serve(t, passthrough(b))
	hello := clientHello(t, &tls.Config{ServerName: "a.test", CurvePreferences: []tls.CurveID{tls.X25519}})
	client := v.dial()
	for i := range len(hello) {
		say(t, client, hello[i:i+1])
	}
	server := b.accept()
	say(t, client, "more")
	hear(t, server, hello+"more")
	client.Close()
	server.Close()
	if e := v.wantEvent("", uint64(len(hello)+4), 0); e.SNI != "a.test" {
		t.Errorf("observed the name %q", e.SNI)
	}
}

func TestNoHello(t *testing.T) {
	b := newBackend(t)
	s := passthrough(b)
	s.listener.PeekTimeout = 2 * moment
	v := serve(t, s)
	for name, sent := range map[string]string{
		"silence": "", "half of it": clientHello(t, &tls.Config{ServerName: "a.test"})[:200], "garbage": "GET / HTTP/1.1\r\n\r\n",
	} {
		c := v.dial()
		say(t, c, sent)
		hearReset(t, c)
		e := v.wantEvent(BadHello, 0, 0)
		if timeout := errors.Is(e.Err, os.ErrDeadlineExceeded); timeout != (name != "garbage") {
			t.Errorf("%s: %v", name, e.Err)
		}
	}
	c := v.dial()
	c.Close()
	v.wantEvent(BadHello, 0, 0)
	if b.acceptWithin(moment) != nil {
		t.Error("the server hears of it")
	}
}

// The server's own timeouts begin when the hello is there.
func TestPeekTimeoutEndsWithTheHello(t *testing.T) {
	b := newBackend(t)
	s := passthrough(b)
	s.listener.PeekTimeout = 2 * moment
	v := serve(t, s)
	client := v.dial()
	hello := clientHello(t, &tls.Config{ServerName: "a.test"})
	say(t, client, hello)
	server := b.accept()
	hear(t, server, hello)
	_ = client.SetReadDeadline(time.Now().Add(4 * moment))
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it ended: %v", err)
	}
	client.Close()
	server.Close()
	v.wantEvent("", uint64(len(hello)), 0)
}
