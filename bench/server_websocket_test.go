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
	size := uint64(head[1] & 0x7f)
	if wide := map[uint64]int{126: 2, 127: 8}[size]; wide > 0 {
		var length [8]byte
		if _, err := io.ReadFull(r, length[8-wide:]); err != nil {
			return 0, nil, err
		}
		size = binary.BigEndian.Uint64(length[:])
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
	b := []byte{first, byte(len(payload))}
	switch n := len(payload); {
	case n > 0xffff:
		b[1] = 127
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	case n > 125:
		b[1] = 126
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	}
	return append(b, payload...)
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
