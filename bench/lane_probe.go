package bench

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"time"
)

// Probe sends two requests, on a connection each, and holds the server to what it answered to both from then on.
func (l *httpLane) Probe(ctx context.Context) (string, error) {
	if err := l.locate(ctx); err != nil {
		return "", err
	}
	return l.learn(l.probeOnce, ctx)
}

// locate finds the address that all connections go to.
func (l *httpLane) locate(ctx context.Context) error {
	if err := l.target.validate(); err != nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	addr, err := resolve(ctx, l.target.Addr)
	if err != nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	l.dialer = dialer{addr: addr, tls: l.target.TLS}
	return nil
}

// learn asks twice, and keeps what both answers have in common. It returns the generation that answered last.
func (l *httpLane) learn(ask func(ctx context.Context, id int) (probed, error), ctx context.Context) (string, error) {
	l.want = answer{}
	first, err := ask(ctx, -1)
	if err != nil {
		return "", err
	}
	second, err := ask(ctx, -2)
	if err != nil {
		return "", err
	}
	if want := l.target.Expect; want != 0 && second.status != want {
		return "", fmt.Errorf("%s: %s %s is answered by status %d, not by %d as expected",
			l.name, l.method, l.target.Path, second.status, want)
	}
	if first.status != second.status {
		return "", fmt.Errorf("%s: %s %s is answered by status %d and then by %d; the bench needs a path with one steady answer",
			l.name, l.method, l.target.Path, first.status, second.status)
	}
	l.want.status = first.status
	l.want.echo = first.echoed && second.echoed
	l.want.ids = first.named && second.named
	if l.target.SameBody && !l.want.echo {
		l.want.body = first.body
	}
	return second.generation, nil
}

// note says that the right answer is no success, which may be what is meant and may be not.
func (l *httpLane) note() string {
	if l.want.status < 400 || l.target.Expect != 0 {
		return ""
	}
	return fmt.Sprintf("%s %s is answered by status %d, which is taken for right", l.method, l.target.Path, l.want.status)
}

type probed struct {
	httpAnswer
	echoed, named bool
}

func (l *httpLane) probeOnce(ctx context.Context, id int) (probed, error) {
	c := l.client(ctx, id)
	on, err := l.dialer.dial(ctx, time.Now().Add(probeTimeout))
	if err != nil {
		return probed{}, l.unanswered(err)
	}
	defer on.drop()
	c.compose(0)
	got, err := c.exchange(on)
	if err != nil {
		return probed{}, l.unanswered(err)
	}
	return c.probed(got)
}

func (l *httpLane) unanswered(err error) error {
	return fmt.Errorf("%s: no answer from %s: %w", l.name, l.target.Addr, err)
}

// probed says what can be learned from an answer.
func (c *httpClient) probed(got httpAnswer) (probed, error) {
	l := c.lane
	if got.status >= 500 && got.status != http.StatusNotImplemented && got.status != l.target.Expect {
		// 501: a server without POST is a server too.
		return probed{}, l.unanswered(fmt.Errorf("%s %s is answered by status %d", l.method, l.target.Path, got.status))
	}
	got.body = bytes.Clone(got.body)
	return probed{got, len(c.content) > 0 && bytes.Equal(got.body, c.content), got.id == string(c.ident)}, nil
}
