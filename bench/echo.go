package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"syscall"
	"time"
)

// echoLane is what the lanes of raw TCP share.
type echoLane struct {
	name, addr string
	dialer     dialer
}

func (l *echoLane) Name() string { return l.name }

// Probe fails unless the server echoes.
func (l *echoLane) Probe(ctx context.Context) (string, error) {
	addr, err := resolve(ctx, l.addr)
	if err != nil {
		return "", fmt.Errorf("%s: %w", l.name, err)
	}
	l.dialer = dialer{addr: addr}
	on, err := l.dialer.dial(ctx, time.Now().Add(probeTimeout))
	if err == nil {
		defer on.drop()
		err = l.client(ctx, 0).exchange(on, 0)
	}
	if err != nil {
		return "", fmt.Errorf("%s: no echo from %s: %w", l.name, l.addr, err)
	}
	return "", nil
}

func (l *echoLane) client(ctx context.Context, id int) *echoClient {
	return &echoClient{lane: l, dialer: l.dialer, ctx: ctx, id: id, got: make([]byte, payloadSize)}
}

// Tap implements Tapped.
func (c *echoClient) Tap(look func(syscall.RawConn)) { c.dialer.tap = look }

type echoClient struct {
	lane      *echoLane
	dialer    dialer
	ctx       context.Context
	id        int
	sent, got []byte
	before    []byte // what was sent before that
}

// exchange sends operation seq's payload and waits for all of it to come back. The error is a *lossError.
func (c *echoClient) exchange(on *conn, seq int64) error {
	c.before, c.sent = c.sent, payload(c.before[:0], c.lane.name, c.id, seq)
	if _, err := on.Write(c.sent); err != nil {
		return classify(phaseWrite, err)
	}
	if _, err := on.br.Peek(1); err != nil {
		return classify(phaseAwait, err)
	}
	if _, err := io.ReadFull(on.br, c.got); err != nil {
		return classify(phaseRead, err)
	}
	switch extra := on.br.Buffered(); {
	case !bytes.Equal(c.got, c.sent):
		loss := wrong("echo is %q, want %q", clip(c.got), clip(c.sent))
		loss.duplicate = bytes.Equal(c.got, c.before)
		return loss
	case extra > 0:
		loss := wrong("%d bytes more than the echo", extra)
		loss.duplicate = c.repeated(on, c.sent)
		return loss
	}
	return nil
}

// repeated reports whether what lies in the connection's buffer is the beginning of a payload's echo.
func (c *echoClient) repeated(on *conn, sent []byte) bool {
	extra, _ := on.br.Peek(min(on.br.Buffered(), len(sent)))
	return len(extra) > 0 && bytes.HasPrefix(sent, extra)
}

// cutAtRest is what it comes to when a connection at rest was found ended, or to have spoken.
func (c *echoClient) cutAtRest(on *conn, err error) *lossError {
	if err == errSpoke {
		loss := *errUnasked
		loss.duplicate = c.repeated(on, c.sent)
		return &loss
	}
	return cut(err)
}

// cut is the loss of a connection that was ended at rest, though its protocol has no polite close.
func cut(err error) *lossError {
	return &lossError{Failure: Failure{ConnectionCut, classOf(phaseRead, err).Errno}, cause: err}
}
