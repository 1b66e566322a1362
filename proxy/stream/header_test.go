package stream

import (
	"bufio"
	"bytes"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/pires/go-proxyproto"

	"github.com/seed-e3b9a99f/baton/proxy/config"
)

// trusting is a listener that wants a PROXY header from loopback.
func trusting(b *backend) setup {
	s := plain(b)
	s.listener.ProxyProtocol = &config.ProxyProtocol{
		Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}, Timeout: patience,
	}
	return s
}

// header returns a PROXY header. Without addresses it is UNKNOWN, or LOCAL.
func header(t testing.TB, version byte, source, destination string, tlvs ...proxyproto.TLV) string {
	t.Helper()
	h := proxyproto.HeaderProxyFromAddrs(version, tcpAddr(source), tcpAddr(destination))
	if err := h.SetTLVs(tlvs); err != nil {
		t.Fatal(err)
	}
	head, err := h.Format()
	if err != nil {
		t.Fatal(err)
	}
	return string(head)
}

func tcpAddr(s string) net.Addr {
	if s == "" {
		return nil
	}
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s))
}

const (
	source4, source6           = "192.0.2.7:5555", "[2001:db8::7]:5555"
	destination4, destination6 = "198.51.100.1:443", "[2001:db8::1]:443"
)

type headerTest struct{ sent, source string } // the source is empty where it is the proxy's own

func headers(t testing.TB) map[string]headerTest {
	tlvs := []proxyproto.TLV{{Type: proxyproto.PP2_TYPE_AUTHORITY, Value: []byte("a.test")}, {Type: 0xE0, Value: make([]byte, 3000)}}
	local := header(t, 2, "", "")
	return map[string]headerTest{
		"v1 TCP4":      {header(t, 1, source4, destination4), source4},
		"v1 TCP6":      {header(t, 1, source6, destination6), source6},
		"v1 UNKNOWN":   {header(t, 1, "", ""), ""},
		"v1 longest":   {"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", ""},
		"v2 TCP4":      {header(t, 2, source4, destination4), source4},
		"v2 TCP6":      {header(t, 2, source6, destination6), source6},
		"v2 with TLVs": {header(t, 2, source4, destination4, tlvs...), source4},
		"v2 LOCAL":     {local, ""},
		"v2 UNSPEC":    {local[:12] + "\x21\x00" + local[14:], ""},
	}
}

func TestHeadersFromTrustedNetworks(t *testing.T) {
	b := newBackend(t)
	v := serve(t, trusting(b))
	for name, test := range headers(t) {
		client := v.dial()
		say(t, client, test.sent+"glued")
		server := b.accept()
		hear(t, server, "glued")
		say(t, client, "more")
		hear(t, server, "more")
		say(t, server, "answer")
		server.Close()
		hearEnd(t, client, "answer")
		client.Close()
		want := test.source
		if want == "" {
			want = client.LocalAddr().String()
		}
		if e := v.wantEvent("", 9, 6); e.Source.String() != want || e.Client != want {
			t.Errorf("%s: the source is %s, want %s", name, e.Source, want)
		}
	}
}

// However the network splits a header, it and what follows it are what was sent.
func TestHeadersSplitAtEveryByte(t *testing.T) {
	for name, test := range headers(t) {
		if len(test.sent) > 200 {
			continue
		}
		sent := test.sent + "glued"
		for at := 1; at < len(sent); at++ {
			c, err := readSplit(sent[:at], sent[at:])
			if err != nil {
				t.Fatalf("%s, split at %d: %v", name, at, err)
			}
			want := "glued"
			if at >= len(test.sent) {
				want = sent[len(test.sent):at] // the rest is still to be read
			}
			if string(c.early) != want {
				t.Errorf("%s, split at %d: %q follows, want %q", name, at, c.early, want)
			}
			if test.source != "" && c.Source.String() != test.source {
				t.Errorf("%s, split at %d: the source is %s", name, at, c.Source)
			}
		}
	}
}

// readSplit reads the header of a connection on which the parts arrive one after the other.
func readSplit(parts ...string) (*conn, error) {
	far, near := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, part := range parts {
			if _, err := far.Write([]byte(part)); err != nil {
				return
			}
		}
	}()
	c := &conn{Conn: near}
	_, err := c.readHeader(patience, netip.AddrPort{})
	near.Close()
	<-done
	far.Close()
	return c, err
}

func TestHeadersThatAreNone(t *testing.T) {
	v2 := header(t, 2, source4, destination4)
	b := newBackend(t)
	v := serve(t, trusting(b))
	for name, sent := range map[string]string{
		"no header":         "GET / HTTP/1.1\r\n\r\n",
		"a TLS hello":       "\x16\x03\x01\x02\x00\x01\x00",
		"another word":      "PROXYjunk TCP4 192.0.2.7 198.51.100.1 5555 443\r\n",
		"no addresses":      "PROXY TCP4\r\n",
		"a bad address":     "PROXY TCP4 192.0.2.700 198.51.100.1 5555 443\r\n",
		"a bad port":        "PROXY TCP4 192.0.2.7 198.51.100.1 5555 70000\r\n",
		"another family":    "PROXY UDP4 192.0.2.7 198.51.100.1 5555 443\r\n",
		"no CR":             "PROXY TCP4 192.0.2.7 198.51.100.1 5555 443\n",
		"no end":            "PROXY TCP4 " + strings.Repeat("1", 200),
		"a bad signature":   "\r\n\r\n\x00\r\nQUIX\n" + v2[12:],
		"a bad version":     v2[:12] + "\x31" + v2[13:],
		"a bad command":     v2[:12] + "\x22" + v2[13:],
		"a bad family":      v2[:13] + "\x41" + v2[14:],
		"too short for it":  v2[:14] + "\x00\x04" + v2[16:20],
		"longer than taken": v2[:14] + "\xff\xff" + v2[16:],
	} {
		client := v.dial()
		say(t, client, sent)
		hearReset(t, client)
		if e := v.wantEvent(BadHeader, 0, 0); !strings.Contains(e.Err.Error(), "no PROXY header from 127.0.0.1") {
			t.Errorf("%s: %v", name, e.Err)
		}
	}
	for name, sent := range map[string]string{
		"nothing": "", "half of v1": "PROXY TC", "half of v2": v2[:14], "v2 cut short": v2[:len(v2)-1],
	} {
		client := v.dial()
		say(t, client, sent)
		closeWrite(t, client)
		hearReset(t, client)
		if e := v.event(); e.Class != BadHeader {
			t.Errorf("%s: %+v", name, e)
		}
	}
	if b.acceptWithin(moment) != nil {
		t.Error("the server hears of one of them")
	}
}

func TestHeaderThatComesTooLate(t *testing.T) {
	b := newBackend(t)
	s := trusting(b)
	s.listener.ProxyProtocol.Timeout = 2 * moment
	v := serve(t, s)
	for _, sent := range []string{"", "PROXY TCP4", header(t, 2, source4, destination4)[:20]} {
		client := v.dial()
		say(t, client, sent)
		hearReset(t, client)
		v.wantEvent(BadHeader, 0, 0)
	}
	// In time, it leaves no deadline behind.
	client := v.dial()
	say(t, client, header(t, 1, source4, destination4))
	server := b.accept()
	if c := b.acceptWithin(4 * moment); c != nil {
		t.Error("somebody else connects")
	}
	say(t, client, "hello")
	hear(t, server, "hello")
	client.Close()
	server.Close()
	v.wantEvent("", 5, 0)
}

func TestHeadersFromOthersAreBytes(t *testing.T) {
	b := newBackend(t)
	s := trusting(b)
	s.listener.ProxyProtocol.Trusted = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	v := serve(t, s)
	for _, test := range headers(t) {
		client := v.dial()
		say(t, client, test.sent)
		server := b.accept()
		hear(t, server, test.sent)
		client.Close()
		server.Close()
		if e := v.wantEvent("", uint64(len(test.sent)), 0); e.Source.String() != client.LocalAddr().String() {
			t.Errorf("the source is %s", e.Source)
		}
	}
}

func TestWhoIsTrusted(t *testing.T) {
	s := Settings{Listener: config.Listener{ProxyProtocol: &config.ProxyProtocol{Trusted: []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fe80::/10"),
	}}}}
	for addr, want := range map[string]bool{
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "11.0.0.1": false, "fe80::1": true, "fe80::1%eth0": true, "::1": false,
	} {
		if got := s.expectsHeader(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
	if s.expectsHeader(netip.Addr{}) {
		t.Error("a Unix socket is trusted")
	}
	if (&Settings{}).expectsHeader(netip.MustParseAddr("10.1.2.3")) {
		t.Error("trusted without a setting")
	}
}

// sent reads the header that a server gets.
func sent(t *testing.T, server net.Conn) (*proxyproto.Header, *bufio.Reader) {
	t.Helper()
	r := bufio.NewReader(server)
	h, err := proxyproto.Read(r)
	if err != nil {
		t.Fatal(err)
	}
	return h, r
}

func TestHeadersToServers(t *testing.T) {
	for _, version := range []int{1, 2} {
		for name, on := range map[string][2]string{
			"IPv4": {"tcp", "127.0.0.1:0"}, "IPv6": {"tcp", "[::1]:0"}, "Unix": {"unix", ""},
		} {
			if on[1] == "" {
				on[1] = socketPath(t, "proxy")
			}
			b := newBackend(t)
			s := plain(b)
			up := s.upstreams["app"]
			up.ProxyProtocol = version
			s.upstreams["app"] = up
			s.on = listen(t, on[0], on[1])
			v := serve(t, s)
			client := v.dial()
			server := b.accept() // the header does not wait for the client
			h, r := sent(t, server)
			if int(h.Version) != version {
				t.Errorf("%s: version %d, want %d", name, h.Version, version)
			}
			if on[0] == "unix" {
				if !h.Command.IsLocal() || h.TransportProtocol != proxyproto.UNSPEC {
					t.Errorf("v%d of a Unix client: %+v", version, h)
				}
			} else if h.SourceAddr.String() != client.LocalAddr().String() || h.DestinationAddr.String() != v.ln.Addr().String() {
				t.Errorf("v%d %s: %v to %v", version, name, h.SourceAddr, h.DestinationAddr)
			}
			say(t, client, "hello")
			word := make([]byte, 5)
			if _, err := r.Read(word); err != nil || string(word) != "hello" {
				t.Errorf("%q, %v", word, err)
			}
			client.Close()
			server.Close()
			v.wantEvent("", 5, 0) // the header is not the client's
		}
	}
}

func TestHeadersInAndOut(t *testing.T) {
	b := newBackend(t)
	s := trusting(b)
	s.upstreams["app"] = config.Upstream{Servers: []string{b.address()}, ProxyProtocol: 2}
	v := serve(t, s)
	for _, test := range []struct{ sent, source, destination string }{
		{header(t, 1, source6, destination6), source6, destination6},
		{header(t, 2, source4, destination4), source4, destination4},
		{header(t, 2, source4, destination6), "[::ffff:192.0.2.7]:5555", destination6},
		{header(t, 2, "", ""), "", ""}, // the proxy's own
	} {
		client := v.dial()
		say(t, client, test.sent+"glued")
		server := b.accept()
		h, r := sent(t, server)
		if test.source == "" {
			test.source, test.destination = client.LocalAddr().String(), v.ln.Addr().String()
		}
		source, destination := addrPort(h.SourceAddr), addrPort(h.DestinationAddr)
		want := netip.MustParseAddrPort(test.source)
		want = netip.AddrPortFrom(want.Addr().Unmap(), want.Port())
		if source != want || destination.String() != test.destination {
			t.Errorf("%v to %v, want %s to %s", h.SourceAddr, h.DestinationAddr, test.source, test.destination)
		}
		word := make([]byte, 5)
		if _, err := r.Read(word); err != nil || string(word) != "glued" {
			t.Errorf("%q, %v", word, err)
		}
		client.Close()
		server.Close()
		v.wantEvent("", 5, 0)
	}
}

// Header, hello and what follows may come in any pieces.
func TestHeaderBeforeAHello(t *testing.T) {
	b := newBackend(t)
	s := trusting(b)
	s.listener.Protocol, s.listener.PeekTimeout = config.TLSPassthrough, patience
	v := serve(t, s)
	hello := oldHello()
	client := v.dial()
	say(t, client, header(t, 2, source4, destination4)+hello[:10])
	say(t, client, hello[10:]+"more")
	server := b.accept()
	hear(t, server, hello+"more")
	client.Close()
	server.Close()
	if e := v.wantEvent("", uint64(len(hello)+4), 0); e.Source.String() != source4 {
		t.Errorf("the source is %s", e.Source)
	}
}

func FuzzParseHeader(f *testing.F) {
	for _, test := range headers(f) {
		f.Add([]byte(test.sent + "glued"))
	}
	f.Add([]byte("PROXY TCP4 \r\n"))
	f.Add([]byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		whole, slow := bufio.NewReader(bytes.NewReader(data)), bufio.NewReader(iotest.OneByteReader(bytes.NewReader(data)))
		h, err := parseHeader(whole)
		again, slowErr := parseHeader(slow)
		if (err == nil) != (slowErr == nil) || !reflect.DeepEqual(h, again) {
			t.Fatalf("whole: %+v, %v; byte by byte: %+v, %v", h, err, again, slowErr)
		}
		if err != nil {
			return
		}
		rest, _ := whole.Peek(whole.Buffered())
		if direct, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(data))); err == nil && !reflect.DeepEqual(h, direct) {
			t.Fatalf("parsed %+v, want %+v", h, direct)
		}
		if !bytes.HasSuffix(data, rest) {
			t.Fatal("what follows is not what was sent")
		}
	})
}
