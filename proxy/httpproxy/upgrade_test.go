package httpproxy

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/seed-e3b9a99f/baton/proxy/config"
)

const handshake = "GET /chat?x=1 HTTP/1.1\r\nHost: test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Key: abc\r\nSec-WebSocket-Version: 13\r\n\r\n"

// echoing changes to websocket, says welcome along with that, and then all that it hears, until it hears the end.
func echoing(t *testing.T) string {
	return rawServer(t, func(_ int, c *serverConn) {
		req := c.request()
		if req == nil || req.Header.Get("Upgrade") != "websocket" || req.Header.Get("Connection") != "Upgrade" ||
			req.Header.Get("Sec-Websocket-Key") != "abc" || req.RequestURI != "/chat?x=1" {
			c.say("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
			return
		}
		c.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Accept: xyz\r\n\r\nwelcome ")
		_, _ = io.Copy(c, c.r)
		_ = c.CloseWrite()
		c.rest()
	})
}

func TestWebSocket(t *testing.T) {
	for _, tunnel := range []string{"own", "given"} {
		t.Run(tunnel, func(t *testing.T) {
			given := make(chan Tunnel, 1)
			rig := newRig(t, func(_ *config.Listener, up *config.Upstream, o *Options) {
				up.MaxConnections = 1
				if tunnel == "given" {
					o.Tunnel = func(t Tunnel) { given <- t }
				}
			}, echoing(t))
			c := rig.dial().send(handshake + "early ")
			res := c.head("GET")
			if res.StatusCode != 101 || res.Header.Get("Upgrade") != "WebSocket" || res.Header.Get("Connection") != "Upgrade" ||
				res.Header.Get("Sec-Websocket-Accept") != "xyz" {
				t.Fatalf("%d %v", res.StatusCode, res.Header)
			}
			if tunnel == "given" {
				tun := receive(t, given, "the tunnel")
				if e := rig.exchange(); e.Status != 101 || e.Class != "" {
					t.Errorf("observed %+v", e)
				}
				if tun.Listener != "web" || tun.Upstream != "app" || tun.Protocol != "WebSocket" || tun.Address == "" {
					t.Errorf("tunnel %+v", tun)
				}
				go func() {
					join(tun.Client, tun.Server)
					tun.Ended()
				}()
			}
			if res, _ := rig.get("/"); res.StatusCode != 503 {
				t.Errorf("the tunnel takes no place of max_connections: %d", res.StatusCode)
			}
			rig.exchange()
			c.send("late")
			_ = c.Conn.(interface{ CloseWrite() error }).CloseWrite()
			if all, err := io.ReadAll(c.r); err != nil || string(all) != "welcome early late" {
				t.Errorf("got %q, %v", all, err)
			}
			if tunnel == "own" { // Observe comes last
				if e := rig.exchange(); e.Status != 101 || e.BytesIn != 4 || e.BytesOut < 4 || e.Class != "" {
					t.Errorf("observed %+v", e)
				}
				if active := rig.pool.Status()[0].Active; active != 0 {
					t.Errorf("the tunnel has ended, and %d are active", active)
				}
			}
		})
	}
}

func TestAnUpgradeThatIsRefused(t *testing.T) {
	rig := newRig(t, nil, rawServer(t, func(_ int, c *serverConn) {
		c.request()
		c.say("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
	}))
	c := rig.dial().send(handshake)
	if res, body, _ := c.answer("GET"); res.StatusCode != 403 || body != "no" {
		t.Errorf("%d %q", res.StatusCode, body)
	}
	c.send(handshake) // the client's connection is as good as before
	if res, body, _ := c.answer("GET"); res.StatusCode != 403 || body != "no" {
		t.Errorf("%d %q", res.StatusCode, body)
	}
}

func TestAnUpgradeToSomethingElse(t *testing.T) {
	rig := newRig(t, nil, rawServer(t, func(_ int, c *serverConn) {
		c.request()
		c.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n")
	}))
	res, _, _ := rig.dial().send(handshake).answer("GET")
	if e := rig.exchange(); res.StatusCode != 502 || e.Class != Malformed {
		t.Errorf("%d, observed %+v", res.StatusCode, e)
	}
}

// TestUpgradesThatAreNotPassedOn: what asks for them is an ordinary request.
func TestUpgradesThatAreNotPassedOn(t *testing.T) {
	addr := backendOf(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("Upgrade")+r.Header.Get("Connection")+r.Header.Get("Http2-Settings"))
	})
	for name, request := range map[string]string{
		"h2c":       "GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
		"h2c, too":  "GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket, H2C\r\n\r\n",
		"unlisted":  "GET / HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\n\r\n",
		"with body": "POST / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nab",
		"HTTP/1.0":  "GET / HTTP/1.0\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			rig := newRig(t, nil, addr)
			if res, body, _ := rig.dial().send(request).answer("GET"); res.StatusCode != 200 || body != "" {
				t.Errorf("%d, the server saw %q", res.StatusCode, body)
			}
		})
	}
}

func TestATunnelEndsWithItsServer(t *testing.T) {
	rig := newRig(t, nil, rawServer(t, func(_ int, c *serverConn) {
		c.request()
		c.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_, _ = bufio.NewReader(c).ReadByte()
		c.reset()
	}))
	c := rig.dial().send(handshake)
	c.head("GET")
	c.send("x")
	if rest, _ := io.ReadAll(c.r); len(rest) > 0 {
		t.Errorf("got %q", rest)
	}
	rig.exchange()
}

func TestConnectIsRefused(t *testing.T) {
	rig := newRig(t, nil, closedPort(t))
	res, _, _ := rig.dial().send("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n").answer("GET")
	if e := rig.exchange(); res.StatusCode != 405 || res.Header.Get("Allow") == "" || e.Class != NotAllowed {
		t.Errorf("%d %v, observed %+v", res.StatusCode, res.Header, e)
	}
	if strings.Contains(res.Header.Get("Allow"), "CONNECT") {
		t.Error("CONNECT is said to be allowed")
	}
}
