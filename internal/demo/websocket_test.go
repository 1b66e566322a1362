package demo

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// masked is a client's frame.
func masked(first byte, payload string) []byte {
	b := frame(first, []byte(payload))
	at := len(b) - len(payload)
	mask := []byte{1, 2, 3, 4}
	for i := range payload {
		b[at+i] ^= mask[i%4]
	}
	b[1] |= 0x80
	return append(b[:at:at], append(mask, b[at:]...)...)
}

func TestEchoFrame(t *testing.T) {
	long, huge := strings.Repeat("x", 70_000), strings.Repeat("x", mostInFrame+1)
	for _, c := range []struct {
		name     string
		in, want []byte
		over     bool
	}{
		{"text", masked(0x81, "hi"), frame(0x81, []byte("hi")), false},
		{"binary of 126 bytes", masked(0x82, long[:126]), frame(0x82, []byte(long[:126])), false},
		{"more than 64 KiB", masked(0x82, long), frame(0x82, []byte(long)), false},
		{"a piece", masked(0x01, "hi"), frame(0x01, []byte("hi")), false},
		{"the last piece", masked(0x80, ""), frame(0x80, nil), false},
		{"ping", masked(0x89, "p"), frame(0x8A, []byte("p")), false},
		{"pong", masked(0x8A, "p"), nil, false},
		{"close", masked(0x88, "\x03\xe8bye"), []byte{0x88, 2, 3, 232}, true},
		{"no mask", frame(0x81, []byte("hi")), closing(1002), true},
		{"a reserved bit", masked(0xC1, "hi"), closing(1002), true},
		{"a ping in pieces", masked(0x09, "p"), closing(1002), true},
		{"a long ping", masked(0x89, long[:126]), closing(1002), true},
		{"an opcode that is none", masked(0x83, "hi"), closing(1002), true},
		{"too big", masked(0x82, huge), closing(1009), true},
	} {
		got, err := echoFrame(bufio.NewReader(bytes.NewReader(c.in)))
		if !bytes.Equal(got, c.want) || (err != nil) != c.over {
			t.Errorf("%s: %.20x, %v; want %.20x", c.name, got, err, c.want)
		}
	}
}

func FuzzEchoFrame(f *testing.F) {
	f.Add(masked(0x81, "hello"))
	f.Add(masked(0x88, "\x03\xe8"))
	f.Add([]byte{0x82, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF})
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := echoFrame(bufio.NewReader(bytes.NewReader(in)))
		if err == nil && len(got) > 0 && (got[0]&0x70 != 0 || got[1]&0x80 != 0) {
			t.Errorf("%x is answered by %x, which is no server's frame", in, got)
		}
	})
}

func TestWebSocketHandshake(t *testing.T) {
	server := httptest.NewServer(handler(3))
	defer server.Close()
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	// The key and its answer are those of RFC 6455, section 1.3. The first frame comes with the request.
	_, err = io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: demo\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"+string(masked(0x81, "early")))
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(c)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if accept := resp.Header.Get("Sec-WebSocket-Accept"); resp.StatusCode != 101 || accept != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" ||
		resp.Header.Get(GenerationHeader) != "3" {
		t.Errorf("%d, %v", resp.StatusCode, resp.Header)
	}
	if _, err := c.Write(masked(0x88, string(binary.BigEndian.AppendUint16(nil, 1000)))); err != nil {
		t.Fatal(err)
	}
	want := append(frame(0x81, []byte("early")), closing(1000)...)
	if got, err := io.ReadAll(in); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%x, %v, want %x", got, err, want)
	}
	for header, want := range map[string]int{"X: y": http.StatusUpgradeRequired,
		"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8": http.StatusBadRequest} {
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: demo\r\n"+header+"\r\n\r\n")
		if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != want {
			t.Errorf("%q: %v, %v, want %d", header, resp, err, want)
		}
		c.Close()
	}
}

// Each piece of a body comes back before the next one is sent.
func TestEchoAsItArrives(t *testing.T) {
	server := httptest.NewServer(handler(1))
	defer server.Close()
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	send := "POST / HTTP/1.1\r\nHost: demo\r\nTransfer-Encoding: chunked\r\n\r\n"
	var body io.Reader
	for _, piece := range []string{"one", "two", "three"} {
		if _, err := fmt.Fprintf(c, "%s%x\r\n%s\r\n", send, len(piece), piece); err != nil {
			t.Fatal(err)
		}
		send = ""
		if body == nil {
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			body = resp.Body
		}
		got := make([]byte, len(piece))
		if _, err := io.ReadFull(body, got); err != nil || string(got) != piece {
			t.Fatalf("%q, %v, want %q", got, err, piece)
		}
	}
}
