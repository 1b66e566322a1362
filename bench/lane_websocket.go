package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// WebSocket is the lane of WebSockets that stay open to a server that echoes messages at HTTP.WebSocketPath. It is
// called "http websocket" or "https websocket". Every echo is compared, and pings are answered.
//
// A WebSocket that ends is a loss even at rest, by a close frame too: whatever it was for must begin again. Take the
// class [WebSocketClosed] out of the verdict with an [Allowance] where that is agreed.
func WebSocket(target HTTP) Lane {
	lane := newHTTPLane("websocket", http.MethodGet, target)
	lane.method = http.MethodGet
	lane.target.Body = nil
	lane.target.Path = lane.target.WebSocketPath
	return webSocket{lane}
}

type webSocket struct{ *httpLane }

func (webSocket) Persistent() bool { return true }

// Probe fails unless the server echoes a message.
func (l webSocket) Probe(ctx context.Context) (string, error) {
	if err := l.locate(ctx); err != nil {
		return "", err
	}
	c := l.Client(ctx, -1)
	defer c.Close()
	r := c.Do(0, time.Now().Add(probeTimeout))
	if r.Err != nil {
		return "", fmt.Errorf("%s: no WebSocket that echoes at %s of %s: %w", l.name, l.target.Path, l.target.Addr, r.Err)
	}
	return r.Generation, nil
}

func (l webSocket) Client(ctx context.Context, id int) Client {
	return &webSocketClient{httpClient: l.resumingClient(ctx, id)}
}

type webSocketClient struct {
	*httpClient
	on         *conn
	out        []byte
	sent, last []byte // payloads: the one at hand, and the one before
	generation string // who shook hands
}

func (c *webSocketClient) Do(seq int64, deadline time.Time) (r Result) {
	if err := c.ready(&r, seq, deadline); err != nil {
		c.forget()
		return r.over(err)
	}
	c.last, c.sent = c.sent, payload(c.last[:0], c.lane.name, c.id, seq)
	if err := c.exchange(); err != nil {
		c.forget()
		return r.over(err)
	}
	return r.over(nil)
}

// ready sees to it that there is a WebSocket. The error is a *lossError.
func (c *webSocketClient) ready(r *Result, seq int64, deadline time.Time) error {
	if c.on != nil {
		c.on.arm(deadline)
		r.Dialled = c.on.dialled
		return c.hear()
	}
	on, err := c.dialer.dial(c.ctx, deadline)
	if err != nil {
		return err
	}
	c.on = on
	r.opened(on)
	if err := c.shakeHands(seq); err != nil {
		return err
	}
	r.Generation = c.generation
	return nil
}

// hear takes what came while the WebSocket was at rest: pings, a close frame, or what nobody asked for.
func (c *webSocketClient) hear() error {
	for {
		switch err := c.on.atRest(); {
		case err == nil:
			return nil
		case err != errSpoke:
			return cut(err)
		}
		message, err := c.frame()
		if err != nil {
			return err
		}
		if message != nil {
			loss := *errUnasked
			loss.duplicate = len(c.sent) > 0 && bytes.Equal(message.payload, c.sent)
			return &loss
		}
	}
}

const webSocketGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // RFC 6455, section 1.3

// shakeHands asks for the upgrade to WebSocket. The error is a *lossError.
func (c *webSocketClient) shakeHands(seq int64) error {
	var nonce [16]byte
	rand.Read(nonce[:])
	key := base64.StdEncoding.EncodeToString(nonce[:])
	c.prepare(seq)
	c.request = append(c.request[:0], c.head...)
	c.request = fmt.Appendf(c.request, "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: %s\r\n", key)
	c.request = append(c.appendID(c.request), "\r\n"...)
	_, writeErr := c.on.Write(c.request)
	if _, err := c.on.br.Peek(1); err != nil {
		if writeErr != nil {
			return classify(phaseWrite, writeErr)
		}
		return classify(phaseAwait, err)
	}
	resp, err := http.ReadResponse(c.on.br, c.asked)
	if err != nil {
		return classify(phaseRead, err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return &lossError{
			Failure: Failure{WrongStatus, strconv.Itoa(resp.StatusCode)},
			cause:   fmt.Errorf("status %d, want 101", resp.StatusCode),
		}
	}
	digest := sha1.Sum([]byte(key + webSocketGUID))
	accept := base64.StdEncoding.EncodeToString(digest[:])
	got, to := resp.Header.Get("Sec-WebSocket-Accept"), resp.Header.Get("Upgrade")
	if got != accept || !strings.EqualFold(to, "websocket") {
		return wrong("Sec-WebSocket-Accept is %q, want %q", got, accept)
	}
	c.generation = resp.Header.Get(c.lane.target.GenerationHeader)
	return nil
}

// exchange sends the payload at hand, and waits for its echo. The error is a *lossError.
func (c *webSocketClient) exchange() error {
	if c.beforeSend != nil {
		c.beforeSend(c.on)
	}
	c.out = appendFrame(c.out[:0], opText, c.sent)
	if _, err := c.on.Write(c.out); err != nil {
		loss := classify(phaseWrite, err)
		// A server that closed just now may have left word: what it said is worth more than the failed write.
		if said := c.await(); said != nil && said.Class == WebSocketClosed {
			return said
		}
		return loss
	}
	if err := c.await(); err != nil {
		return err
	}
	return nil
}

// await reads frames until the whole echo is here.
func (c *webSocketClient) await() *lossError {
	var got []byte
	begun := false
	for {
		if _, err := c.on.br.Peek(1); err != nil && !begun {
			return classify(phaseAwait, err)
		}
		part, loss := c.frame()
		if loss != nil {
			return loss
		}
		if part == nil {
			continue
		}
		if begun != (part.op == opContinuation) { // RFC 6455, section 5.4
			return wrong("a frame with the opcode %d, which does not go on where the one before left off", part.op)
		}
		begun = true
		got = append(got, part.payload...)
		if len(got) > maxCompared {
			return wrong("a message longer than %d bytes", maxCompared)
		}
		if part.final {
			break
		}
	}
	if !bytes.Equal(got, c.sent) {
		loss := wrong("echo is %q, want %q", clip(got), clip(c.sent))
		loss.duplicate = len(c.last) > 0 && bytes.Equal(got, c.last)
		return loss
	}
	return nil
}

// frame reads one frame. It deals with control frames itself, and returns nil for those.
func (c *webSocketClient) frame() (*webSocketFrame, *lossError) {
	f, loss := readFrame(c.on.br)
	if loss != nil {
		return nil, loss
	}
	switch f.op {
	case opPing:
		if _, err := c.on.Write(appendFrame(nil, opPong, f.payload)); err != nil {
			return nil, classify(phaseWrite, err)
		}
		return nil, nil
	case opPong:
		return nil, nil
	case opClose:
		// The answer that RFC 6455, section 5.5.1, asks for. Whether it arrives changes nothing.
		_, _ = c.on.Write(appendFrame(nil, opClose, f.payload[:min(2, len(f.payload))]))
		return nil, f.closed()
	default:
		return f, nil
	}
}

func (c *webSocketClient) forget() {
	if c.on != nil {
		c.on.drop()
		c.on = nil
	}
}

func (c *webSocketClient) Close() {
	if c.on == nil {
		return
	}
	c.on.arm(time.Now().Add(time.Second))
	_, _ = c.on.Write(appendFrame(nil, opClose, []byte{3, 232})) // 1000: normal closure
	c.on.close()
	c.on = nil
}
