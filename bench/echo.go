package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
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
	return &echoClient{lane: l, ctx: ctx, id: id, got: make([]byte, payloadSize)}
}

type echoClient struct {
	lane      *echoLane
	ctx       context.Context
	id        int
	sent, got []byte
}

// exchange sends operation seq's payload and waits for all of it to come back. The error is a *lossError.
func (c *echoClient) exchange(on *conn, seq int64) error {
	c.sent = payload(c.sent[:0], c.lane.name, c.id, seq)
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
		return &lossError{Failure{Class: WrongBytes}, fmt.Errorf("echo is %q, want %q", clip(c.got), clip(c.sent))}
	case extra > 0:
		return &lossError{Failure{Class: WrongBytes}, fmt.Errorf("%d bytes more than the echo", extra)}
	}
	return nil
}
