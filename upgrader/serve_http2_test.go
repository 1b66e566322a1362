//lint:file-ignore SA1019 the client that speaks nothing but HTTP/2 is in x/net

//go:build unix

package upgrader_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// HTTP/2 connections are told to go, and a client that heeds GOAWAY loses nothing.
func TestServeHTTP2(t *testing.T) {
	s, _, secure := startServing(t)
	client := &http.Client{Transport: &http2.Transport{TLSClientConfig: insecure}, Timeout: patience}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	// One stream lives through the upgrade.
	body, feed := io.Pipe()
	req, err := http.NewRequestWithContext(ctx, "POST", "https://"+secure+"/slow", body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.ProtoMajor != 2 {
		t.Fatalf("speaks %s", resp.Proto)
	}

	quit := make(chan struct{})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-quit:
					return
				default:
				}
				resp, err := client.Post("https://"+secure+"/", "text/plain", strings.NewReader("hello"))
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := io.ReadAll(resp.Body); err != nil || string(got) != "hello" {
					t.Errorf("body %q, %v", got, err)
				}
				resp.Body.Close()
			}
		})
	}
	for generation := 2; generation < 5; generation++ {
		s.upgrade(generation)
	}
	close(quit)
	clients.Wait()

	if _, err := io.WriteString(feed, "late"); err != nil {
		t.Fatal(err)
	}
	feed.Close()
	if got, err := io.ReadAll(resp.Body); err != nil || string(got) != "late" {
		t.Errorf("the stream that lived through the upgrade: %q, %v", got, err)
	}
	s.awaitPhase(0, 1, "exited")
	s.awaitPhase(0, 3, "exited")
}

// A client that never sends a stream twice loses none: it hears that the server will go before the server stops
// listening to new streams. So does one whose handshake ends after that.
func TestServeHTTP2SaysGoAwayTwice(t *testing.T) {
	s, _, secure := startServing(t)
	early := dialHTTP2(t, secure)
	raw, err := net.Dial("tcp", secure) // its handshake comes later
	if err != nil {
		t.Fatal(err)
	}
	s.upgrade(2)
	s.awaitPhase(0, 1, "draining")
	for _, name := range []string{"early", "late"} {
		c := early
		if name == "late" {
			c = newHTTP2(t, tls.Client(raw, withHTTP2))
		}
		if last := c.awaitGoAway(t); last != math.MaxInt32 {
			t.Errorf("%s: the first GOAWAY allows streams up to %d", name, last)
		}
		c.post(t) // was on its way
		if last := c.awaitGoAway(t); last != c.stream {
			t.Errorf("%s: the second GOAWAY names stream %d, sent was %d", name, last, c.stream)
		}
		if c.answered != 1 {
			t.Errorf("%s: %d answers to the stream that was on its way", name, c.answered)
		}
	}
	s.awaitPhase(0, 1, "exited")
}

var withHTTP2 = &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}

// h2Client speaks HTTP/2 frame by frame.
type h2Client struct {
	framer   *http2.Framer
	stream   uint32
	answered int
}

func dialHTTP2(t *testing.T, address string) *h2Client {
	t.Helper()
	raw, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return newHTTP2(t, tls.Client(raw, withHTTP2))
}

func newHTTP2(t *testing.T, c *tls.Conn) *h2Client {
	t.Helper()
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	h := &h2Client{framer: http2.NewFramer(c, c)}
	if err := h.framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *h2Client) post(t *testing.T) {
	t.Helper()
	h.stream += 1 + h.stream%2
	var head bytes.Buffer
	enc := hpack.NewEncoder(&head)
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "test"}, {":path", "/"}} {
		_ = enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	err := h.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: h.stream, BlockFragment: head.Bytes(), EndHeaders: true, EndStream: true,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// awaitGoAway reads up to the next GOAWAY, and returns the last stream that it allows.
func (h *h2Client) awaitGoAway(t *testing.T) uint32 {
	t.Helper()
	for {
		f, err := h.framer.ReadFrame()
		if err != nil {
			t.Fatalf("no GOAWAY: %v", err)
		}
		switch f := f.(type) {
		case *http2.GoAwayFrame:
			return f.LastStreamID
		case *http2.HeadersFrame:
			h.answered++
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = h.framer.WriteSettingsAck()
			}
		}
	}
}
