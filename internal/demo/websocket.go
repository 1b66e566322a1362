package demo

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// webSocketPath is where WebSockets are echoed (RFC 6455). They stay with the process that has them, which drains until
// they end.
const webSocketPath = "/ws"

const (
	webSocketGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // RFC 6455, section 1.3
	mostInFrame   = 1 << 20
	writeTimeout  = time.Minute // for a client that does not read
)

// Opcodes, RFC 6455, section 5.2.
const (
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xA
)

// webSocket answers with an upgrade to WebSocket, and echoes until the client ends it.
func webSocket(w http.ResponseWriter, r *http.Request, generation int) {
	key := r.Header.Get("Sec-WebSocket-Key")
	switch {
	case r.Method != http.MethodGet || r.ProtoMajor != 1 || !asks(r, "Connection", "upgrade") || !asks(r, "Upgrade", "websocket"):
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		http.Error(w, "this is a WebSocket, by HTTP/1.1", http.StatusUpgradeRequired)
		return
	case r.Header.Get("Sec-WebSocket-Version") != "13" || key == "":
		w.Header().Set("Sec-WebSocket-Version", "13")
		http.Error(w, "WebSocket version 13 and a key are asked for", http.StatusBadRequest)
		return
	}
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer c.Close()
	_ = c.SetDeadline(time.Time{})
	sum := sha1.Sum([]byte(key + webSocketGUID))
	_, err = fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Accept: %s\r\n%s: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:]), GenerationHeader, strconv.Itoa(generation))
	for err == nil {
		var answer []byte
		if answer, err = echoFrame(rw.Reader); len(answer) > 0 {
			_ = c.SetWriteDeadline(time.Now().Add(writeTimeout))
			if _, writeErr := c.Write(answer); writeErr != nil {
				return
			}
		}
	}
}

// asks reports whether a header that is a list of words has the given one.
func asks(r *http.Request, header, word string) bool {
	return slices.ContainsFunc(r.Header.Values(header), func(line string) bool {
		return slices.ContainsFunc(strings.Split(line, ","), func(s string) bool { return strings.EqualFold(strings.TrimSpace(s), word) })
	})
}

var errWebSocketOver = errors.New("the WebSocket is closed")

// echoFrame reads one frame and returns the answer to it, which may be empty. With an error, the answer is the last.
func echoFrame(r *bufio.Reader) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size, err := payloadLen(r, head[1]&0x7F)
	if err != nil {
		return nil, err
	}
	op, control := head[0]&0x0F, head[0]&0x08 != 0
	switch {
	case head[1]&0x80 == 0, head[0]&0x70 != 0, control && (size > 125 || head[0]&0x80 == 0), op > opPong, op > 2 && !control:
		return closing(1002), errWebSocketOver // a protocol error
	case size > mostInFrame:
		return closing(1009), errWebSocketOver // too big
	}
	var mask [4]byte
	if _, err := io.ReadFull(r, mask[:]); err != nil {
		return nil, err
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(r, payload); err != nil {
		return nil, err
	}
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	switch op {
	case opClose:
		return frame(head[0], payload[:min(2, len(payload))]), errWebSocketOver
	case opPing:
		return frame(0x80|opPong, payload), nil
	case opPong:
		return nil, nil
	default: // pieces of a message come back as the pieces that they are
		return frame(head[0], payload), nil
	}
}

// payloadLen reads what the seven bits of a frame's head say of its length.
func payloadLen(r io.Reader, short byte) (uint64, error) {
	var wide [8]byte
	from := 8
	switch short {
	case 126:
		from = 6
	case 127:
		from = 0
	default:
		return uint64(short), nil
	}
	_, err := io.ReadFull(r, wide[from:])
	return binary.BigEndian.Uint64(wide[:]), err
}

func closing(code uint16) []byte {
	return frame(0x80|opClose, binary.BigEndian.AppendUint16(nil, code))
}

// frame has a server's frame, which has no mask. The first byte is that of its head.
func frame(first byte, payload []byte) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}
