package bench

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"io"
	"log"
	"net"
	"net/http"
	"testing"
)

var quietLog = log.New(io.Discard, "", 0)

func webSocketAnswer(key string) string {
	sum := sha1.Sum([]byte(key + webSocketGUID))
	return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		base64.StdEncoding.EncodeToString(sum[:]) + "\r\n\r\n"
}

// readMasked reads a client's frame.
func readMasked(r io.Reader) (op byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	if head[1]&0x80 == 0 {
		panic("a client's frame without a mask")
	}
	size := int(head[1] & 0x7f)
	if size == 126 {
		var wide [2]byte
		if _, err := io.ReadFull(r, wide[:]); err != nil {
			return 0, nil, err
		}
		size = int(binary.BigEndian.Uint16(wide[:]))
	}
	var mask [4]byte
	if _, err := io.ReadFull(r, mask[:]); err != nil {
		return 0, nil, err
	}
	payload = make([]byte, size)
	_, err = io.ReadFull(r, payload)
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	return head[0] & 0x0f, payload, err
}

func serverFrame(op byte, final bool, payload []byte) []byte {
	first := op
	if final {
		first |= 0x80
	}
	if len(payload) < 126 {
		return append([]byte{first, byte(len(payload))}, payload...)
	}
	return append(binary.BigEndian.AppendUint16([]byte{first, 126}, uint16(len(payload))), payload...)
}

// serveWebSocket hands each message to handle, which reports whether the connection goes on.
func serveWebSocket(t *testing.T, handle func(s *server, c net.Conn, op int64, p []byte) bool) *server {
	t.Helper()
	return serveEach(t, func(s *server, c net.Conn, _ int) {
		in := bufio.NewReader(c)
		asked, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		io.WriteString(c, webSocketAnswer(asked.Header.Get("Sec-WebSocket-Key")))
		for {
			op, p, err := readMasked(in)
			if err != nil || op == opClose {
				return
			}
			if op == opText && !handle(s, c, opOf(p), p) {
				return
			}
		}
	})
}
