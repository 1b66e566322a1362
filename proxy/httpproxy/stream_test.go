package httpproxy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/seed-e3b9a99f/baton/proxy/config"
)

func TestBytesArriveBeforeTheAnswersEnd(t *testing.T) {
	for _, protocol := range []string{"http1", "h2c"} {
		for _, length := range []string{"", "12", "100000"} {
			if protocol == "h2c" && length != "" {
				continue // http.Transport does not tell whether more is there; without a length it is flushed always
			}
			t.Run(protocol+" "+length, func(t *testing.T) {
				next := make(chan string)
				addr := backendOf(t, func(w http.ResponseWriter, _ *http.Request) {
					if length != "" {
						w.Header().Set("Content-Length", length)
					}
					w.Header().Set("Content-Type", "text/event-stream")
					w.WriteHeader(200)
					_ = http.NewResponseController(w).Flush()
					for event := range next {
						_, _ = io.WriteString(w, event)
						_ = http.NewResponseController(w).Flush()
					}
				})
				rig := newRig(t, func(_ *config.Listener, up *config.Upstream, _ *Options) { up.Protocol = protocol }, addr)
				res := rig.dial().send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").head("GET") // before any byte of the body
				events := []string{"one\n\n\n", "two\n\n\n"}
				if length == "100000" {
					events = append(events, strings.Repeat("x", 100000-12))
				}
				for _, event := range events {
					next <- event
					got := make([]byte, len(event))
					if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != event {
						t.Fatalf("got %q, %v; want %q", got, err, event)
					}
				}
				close(next)
				if rest, err := io.ReadAll(res.Body); err != nil || len(rest) > 0 {
					t.Fatalf("the rest is %q, %v", rest, err)
				}
			})
		}
	}
}

// TestBothDirectionsAtOnce has a server answer each line of a body that goes on.
func TestBothDirectionsAtOnce(t *testing.T) {
	for _, protocol := range []string{"http1", "h2c"} {
		t.Run(protocol, func(t *testing.T) {
			addr := backendOf(t, func(w http.ResponseWriter, r *http.Request) {
				rc := http.NewResponseController(w)
				_ = rc.EnableFullDuplex()
				_ = rc.Flush()
				buf := make([]byte, 100)
				for {
					n, err := r.Body.Read(buf)
					_, _ = w.Write(bytes.ToUpper(buf[:n]))
					_ = rc.Flush()
					if err != nil {
						return
					}
				}
			})
			rig := newRig(t, func(_ *config.Listener, up *config.Upstream, _ *Options) { up.Protocol = protocol }, addr)
			c := rig.dial().send("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n")
			res := c.head("POST")
			for _, word := range []string{"hello", "world"} {
				c.send("5\r\n" + word + "\r\n")
				got := make([]byte, 5)
				if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != strings.ToUpper(word) {
					t.Fatalf("got %q, %v", got, err)
				}
			}
			c.send("0\r\n\r\n")
			if rest, err := io.ReadAll(res.Body); err != nil || len(rest) > 0 {
				t.Fatalf("the rest is %q, %v", rest, err)
			}
			if e := rig.exchange(); e.BytesIn != 10 || e.BytesOut != 10 || e.Class != "" {
				t.Errorf("observed %+v", e)
			}
		})
	}
}

func TestLargeBodies(t *testing.T) {
	const size = 3 << 20
	addr := backendOf(t, func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		n, err := io.Copy(sum, r.Body)
		w.Header().Set("Sum", fmt.Sprintf("%x %d %v", sum.Sum(nil), n, err))
		if r.ContentLength > 0 {
			w.Header().Set("Content-Length", fmt.Sprint(size))
		}
		_, _ = io.Copy(w, io.LimitReader(&counting{}, size))
	})
	sum := sha256.New()
	_, _ = io.Copy(sum, io.LimitReader(&counting{}, size))
	want := fmt.Sprintf("%x", sum.Sum(nil))
	for _, protocol := range []string{"http1", "h2c"} {
		for _, clear := range []bool{false, true} {
			rig := newRig(t, func(_ *config.Listener, up *config.Upstream, _ *Options) { up.Protocol = protocol }, addr)
			client := rig.client(clear)
			for _, length := range []int64{size, -1} {
				t.Run(fmt.Sprint(protocol, " h2c client ", clear, length), func(t *testing.T) {
					req, _ := http.NewRequest("PUT", "http://"+rig.addr+"/", io.LimitReader(&counting{}, size))
					req.ContentLength = length
					res, err := client.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					defer res.Body.Close()
					sum := sha256.New()
					if n, err := io.Copy(sum, res.Body); err != nil || n != size {
						t.Errorf("read %d bytes, %v", n, err)
					}
					if got := fmt.Sprintf("%x", sum.Sum(nil)); got != want {
						t.Error("the client's bytes are others")
					}
					if got := res.Header.Get("Sum"); got != want+fmt.Sprint(" ", size, " <nil>") {
						t.Errorf("the server got %s", got)
					}
					if e := rig.exchange(); e.BytesIn != size || e.BytesOut != size {
						t.Errorf("observed %+v", e)
					}
				})
			}
		}
	}
}

// counting is bytes in which a shifted one shows.
type counting struct{ n int }

func (c *counting) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(c.n) ^ byte(c.n>>8) ^ byte(c.n>>16)
		c.n++
	}
	return len(p), nil
}

// client speaks HTTP/1.1 or, in the clear, HTTP/2.
func (r *rig) client(h2 bool) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!h2)
	protocols.SetUnencryptedHTTP2(h2)
	tr := &http.Transport{Protocols: protocols, DisableCompression: true}
	r.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 2 * patience}
}

func TestAClientThatLeavesCancelsTheServersRequest(t *testing.T) {
	for _, protocol := range []string{"http1", "h2c"} {
		for _, begun := range []bool{false, true} {
			t.Run(fmt.Sprint(protocol, begun), func(t *testing.T) {
				arrived, cancelled := make(chan struct{}), make(chan struct{})
				addr := backendOf(t, func(w http.ResponseWriter, r *http.Request) {
					if begun {
						_, _ = io.WriteString(w, "begun")
						_ = http.NewResponseController(w).Flush()
					}
					close(arrived)
					<-r.Context().Done()
					close(cancelled)
				})
				rig := newRig(t, func(_ *config.Listener, up *config.Upstream, _ *Options) { up.Protocol = protocol }, addr)
				c := rig.dial().send("GET / HTTP/1.1\r\nHost: test\r\n\r\n")
				receive(t, arrived, "the request")
				if begun {
					c.head("GET")
				}
				_ = c.Close()
				receive(t, cancelled, "the cancellation")
				want := 499
				if begun {
					want = 200
				}
				if e := rig.exchange(); e.Class != ClientGone || e.Status != want {
					t.Errorf("observed %+v", e)
				}
				if log := rig.log.String(); strings.Contains(log, "WARN") {
					t.Error("logged loudly:", log)
				}
			})
		}
	}
}

func TestAClientThatLeavesALargeAnswer(t *testing.T) {
	for _, how := range []string{"close", "reset"} {
		t.Run(how, func(t *testing.T) {
			rig := newRig(t, nil, rawServer(t, func(_ int, c *serverConn) {
				c.request()
				c.say("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
				_, _ = io.Copy(c, zeros{})
			}))
			c := rig.dial().send("GET / HTTP/1.1\r\nHost: test\r\n\r\n")
			_, _ = io.ReadFull(c.r, make([]byte, 100000))
			if how == "reset" {
				_ = c.Conn.(*net.TCPConn).SetLinger(0)
			}
			_ = c.Close()
			if e := rig.exchange(); e.Class != ClientGone || e.Status != 200 || e.BytesOut < 50000 {
				t.Errorf("observed %+v", e)
			}
		})
	}
}

func TestAClientThatLeavesWithinItsBody(t *testing.T) {
	for _, length := range []string{"Content-Length: 10", "Content-Length: 100000", "Transfer-Encoding: chunked"} {
		t.Run(length, func(t *testing.T) {
			seen := make(chan error, 1)
			addr := backendOf(t, func(_ http.ResponseWriter, r *http.Request) {
				_, err := io.ReadAll(r.Body)
				seen <- err
			})
			rig := newRig(t, nil, addr)
			c := rig.dial().send("POST / HTTP/1.1\r\nHost: test\r\n" + length + "\r\n\r\n1\r\nx")
			_ = c.Close()
			if e := rig.exchange(); e.Class != ClientGone || e.Status != 499 {
				t.Errorf("observed %+v", e)
			}
			select { // a small body is not sent in parts
			case err := <-seen:
				if err == nil {
					t.Error("the server took a part for the whole")
				}
			default:
			}
		})
	}
}

func TestTrailersBothWays(t *testing.T) {
	addr := backendOf(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Announced")
		_, _ = io.Copy(w, r.Body)
		w.Header().Set("Announced", r.Trailer.Get("Sum"))
		w.Header().Set("Got", strings.Join(r.Trailer["X-Forwarded-For"], ","))
		w.Header().Set(http.TrailerPrefix+"Surprise", "yes")
	})
	for _, protocol := range []string{"http1", "h2c"} {
		for _, h2 := range []bool{false, true} {
			t.Run(fmt.Sprint(protocol, h2), func(t *testing.T) {
				rig := newRig(t, func(_ *config.Listener, up *config.Upstream, _ *Options) { up.Protocol = protocol }, addr)
				req, _ := http.NewRequest("POST", "http://"+rig.addr+"/", strings.NewReader("body"))
				req.ContentLength = -1
				req.Trailer = http.Header{"Sum": {"42"}, "X-Forwarded-For": {"1.2.3.4"}}
				res, err := rig.client(h2).Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				body, err := io.ReadAll(res.Body)
				if err != nil || string(body) != "body" {
					t.Errorf("body %q, %v", body, err)
				}
				if res.Trailer.Get("Announced") != "42" || res.Trailer.Get("Surprise") != "yes" {
					t.Errorf("trailers %v", res.Trailer)
				}
			})
		}
	}
}

// TestGRPC is a call as gRPC makes it: te, a body both ways, and the status in trailers, also without a body.
func TestGRPC(t *testing.T) {
	addr := backendOf(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		if r.Header.Get("Te") != "trailers" || r.ProtoMajor != 2 {
			w.WriteHeader(400)
			return
		}
		if r.URL.Path == "/echo" {
			w.Header().Set("Trailer", "Grpc-Status")
			_ = http.NewResponseController(w).Flush()
			_, _ = io.Copy(w, r.Body)
		}
		w.Header().Set("Grpc-Status", "7")
	})
	rig := newRig(t, func(_ *config.Listener, up *config.Upstream, _ *Options) { up.Protocol = "h2c" }, addr)
	for path, want := range map[string]string{"/echo": "message", "/deny": ""} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		pr, pw := io.Pipe()
		go func() { _, _ = io.WriteString(pw, "message"); _ = pw.Close() }()
		req, _ := http.NewRequestWithContext(ctx, "POST", "http://"+rig.addr+path, pr)
		req.Header.Set("Te", "trailers")
		req.Header.Set("Content-Type", "application/grpc")
		res, err := rig.client(true).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		_ = pr.Close()
		status := res.Trailer.Get("Grpc-Status") + res.Header.Get("Grpc-Status")
		if res.StatusCode != 200 || err != nil || string(body) != want || status != "7" {
			t.Errorf("%s: %d, %q, %v, status %q", path, res.StatusCode, body, err, status)
		}
	}
}
