package httpproxy

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/proxy/config"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2Server answers the first request on a connection as f says.
func h2Server(t *testing.T, f func(c *serverConn, fr *http2.Framer, stream uint32)) string {
	return rawServer(t, func(_ int, c *serverConn) {
		if _, err := io.ReadFull(c.r, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		fr := http2.NewFramer(c, c.r)
		_ = fr.WriteSettings()
		for {
			frame, err := fr.ReadFrame()
			if err != nil {
				return
			}
			if h, ok := frame.(*http2.HeadersFrame); ok {
				f(c, fr, h.StreamID)
				return
			}
		}
	})
}

func h2Head(fr *http2.Framer, stream uint32, fields ...string) {
	var block strings.Builder
	enc := hpack.NewEncoder(&block)
	for i := 0; i < len(fields); i += 2 {
		_ = enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: []byte(block.String()), EndHeaders: true})
}

func TestAnH2CServerThatFails(t *testing.T) {
	tests := []struct {
		name   string
		server func(c *serverConn, fr *http2.Framer, stream uint32)
		status int
		class  Class
		broken bool
	}{
		{"closes", func(*serverConn, *http2.Framer, uint32) {}, 502, Reset, false},
		{"resets", func(c *serverConn, _ *http2.Framer, _ uint32) { c.reset() }, 502, Reset, false},
		{"resets the stream", func(c *serverConn, fr *http2.Framer, stream uint32) {
			_ = fr.WriteRSTStream(stream, http2.ErrCodeInternal)
			c.rest()
		}, 502, Reset, false},
		{"goes away", func(c *serverConn, fr *http2.Framer, stream uint32) {
			_ = fr.WriteGoAway(stream, http2.ErrCodeInternal, nil)
		}, 502, Reset, false},
		{"says nothing", func(c *serverConn, _ *http2.Framer, _ uint32) { c.rest() }, 504, ResponseTimeout, false},
		{"speaks HTTP/1.1", func(c *serverConn, _ *http2.Framer, _ uint32) { c.say(ok); c.rest() }, 502, Malformed, false},
		{"has no status", func(c *serverConn, fr *http2.Framer, stream uint32) { h2Head(fr, stream, "a", "b"); c.rest() }, 502, Malformed, false},
		{"cuts the body", func(c *serverConn, fr *http2.Framer, stream uint32) {
			h2Head(fr, stream, ":status", "200")
			_ = fr.WriteData(stream, false, []byte("half"))
			_ = c.CloseWrite() // without a reset for what it has not read
			c.rest()
		}, 200, Cut, true},
		{"resets the stream in the body", func(c *serverConn, fr *http2.Framer, stream uint32) {
			h2Head(fr, stream, ":status", "200")
			_ = fr.WriteData(stream, false, []byte("half"))
			<-c.read
			_ = fr.WriteRSTStream(stream, http2.ErrCodeInternal)
			c.rest()
		}, 200, Reset, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			read := make(chan struct{})
			addr := h2Server(t, func(c *serverConn, fr *http2.Framer, stream uint32) {
				c.read = read
				tt.server(c, fr, stream)
			})
			rig := newRig(t, func(_ *config.Listener, up *config.Upstream, _ *Options) {
				up.Protocol = "h2c"
				if tt.class == ResponseTimeout {
					up.ResponseTimeout = 100 * time.Millisecond
				}
			}, addr)
			res := rig.dial().send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc").head("POST")
			if tt.broken {
				if _, err := io.ReadFull(res.Body, make([]byte, 4)); err != nil {
					t.Error(err)
				}
			}
			close(read)
			_, err := io.ReadAll(res.Body)
			e := rig.exchange()
			if res.StatusCode != tt.status || (err != nil) != tt.broken || e.Class != tt.class || e.Status != tt.status {
				t.Errorf("%d, %v, observed %+v", res.StatusCode, err, e)
			}
		})
	}
}

func TestAnH2CServerThatRefuses(t *testing.T) {
	good := backendOf(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	rig := newRig(t, func(_ *config.Listener, up *config.Upstream, _ *Options) { up.Protocol = "h2c" }, closedPort(t), good)
	retries := 0
	for range 2 {
		body := strings.Repeat("x", 10000) // streamed
		res, _, _ := rig.dial().send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10000\r\n\r\n" + body).answer("POST")
		e := rig.exchange()
		if retries += e.Retries; res.StatusCode != 200 {
			t.Errorf("%d, observed %+v", res.StatusCode, e)
		}
	}
	if retries != 1 {
		t.Errorf("%d retries", retries)
	}
	rig = newRig(t, func(_ *config.Listener, up *config.Upstream, _ *Options) { up.Protocol = "h2c" }, closedPort(t))
	res, _ := rig.get("/")
	if e := rig.exchange(); res.StatusCode != 502 || e.Class != ConnectRefused {
		t.Errorf("%d, observed %+v", res.StatusCode, e)
	}
}

func TestH2CDiesBeforeAnAnswerToGET(t *testing.T) {
	bad := h2Server(t, func(*serverConn, *http2.Framer, uint32) {})
	good := backendOf(t, func(http.ResponseWriter, *http.Request) {})
	rig := newRig(t, func(_ *config.Listener, up *config.Upstream, _ *Options) { up.Protocol = "h2c" }, bad, good)
	retries := 0
	for range 2 {
		res, _ := rig.get("/")
		e := rig.exchange()
		if retries += e.Retries; res.StatusCode != 200 {
			t.Errorf("%d, observed %+v", res.StatusCode, e)
		}
	}
	if retries != 1 {
		t.Errorf("%d retries", retries)
	}
}
