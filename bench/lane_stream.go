package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Stream is the lane of responses that stream across a while (DefaultHold if hold is 0) or an upgrade. It is called
// "http stream" or "https stream".
//
// The client sends a chunked POST in three pieces, and reads the echo of each before it goes on, so it knows at every
// byte which came through; the wait is behind the first piece. The server must echo as it reads (in Go:
// http.ResponseController.EnableFullDuplex, and a Flush). With HTTP.StreamPath it is a GET of that path instead, whose
// answer takes its time by itself and must be whole; there is no wait then. It is [Timed].
func Stream(target HTTP, hold time.Duration) Lane {
	lane := newHTTPLane("stream", http.MethodPost, target)
	lane.method = http.MethodPost
	lane.target.Body = nil
	if lane.target.StreamPath != "" {
		lane.method, lane.target.Path = http.MethodGet, lane.target.StreamPath
	}
	lane.once = true
	return &timed[*httpClient]{streamLane{lane}, newHold(hold), lane.client, stream}
}

// streamLane is an httpLane that is probed for an echo that comes as it reads.
type streamLane struct{ *httpLane }

func (l streamLane) Probe(ctx context.Context) (string, error) {
	if l.target.StreamPath != "" {
		return l.httpLane.Probe(ctx)
	}
	if err := l.locate(ctx); err != nil {
		return "", err
	}
	return l.learn(l.probeEcho, ctx)
}

func (l streamLane) probeEcho(ctx context.Context, id int) (probed, error) {
	c := l.client(ctx, id)
	on, err := l.dialer.dial(ctx, time.Now().Add(probeTimeout))
	if err != nil {
		return probed{}, l.unanswered(err)
	}
	defer on.drop()
	got, err := c.echo(on, 0, func() {})
	if err != nil {
		return probed{}, fmt.Errorf("%s: POST %s is not echoed as it comes: %w (let the server stream it, or name a path "+
			"whose answer streams)", l.name, l.target.Path, err)
	}
	return c.probed(got)
}

// streamPieces is how many pieces a POST that is echoed is cut into.
const streamPieces = 3

func stream(c *httpClient, seq int64, deadline time.Time, wait func()) (r Result) {
	on, err := c.dialer.dial(c.ctx, deadline)
	if err != nil {
		return r.over(err)
	}
	defer on.drop()
	r.opened(on)
	var got httpAnswer
	if c.lane.method == http.MethodGet {
		c.compose(seq)
		got, err = c.exchange(on)
	} else {
		got, err = c.echo(on, seq, wait)
	}
	if err != nil {
		return r.over(err)
	}
	return c.settle(&r, got)
}

// echo sends a payload in pieces, and each only when the one before has come back. The error is a *lossError.
func (c *httpClient) echo(on *conn, seq int64, wait func()) (httpAnswer, error) {
	c.prepare(seq)
	c.request = append(c.request[:0], c.head...)
	c.request = append(c.request, "Transfer-Encoding: chunked\r\n"...)
	c.request = append(c.appendID(c.request), "\r\n"...)
	c.read.Reset()

	rest, size := c.content, (payloadSize+streamPieces-1)/streamPieces
	var resp *http.Response
	for i := 0; len(rest) > 0; i++ {
		piece := rest[:min(size, len(rest))]
		rest = rest[len(piece):]
		c.request = fmt.Appendf(c.request, "%x\r\n%s\r\n", len(piece), piece)
		if len(rest) == 0 {
			c.request = append(c.request, "0\r\n\r\n"...)
		}
		written, writeErr := on.Write(c.request)
		c.request = c.request[:0]
		if resp == nil {
			var err error
			if resp, err = c.begun(on, written, writeErr); err != nil {
				return httpAnswer{}, err
			}
			if want := c.lane.want.status; want != 0 && resp.StatusCode != want {
				return c.answered(resp.StatusCode, resp.Header.Get), nil // judge finds it wrong
			}
		}
		got := make([]byte, len(piece))
		if _, err := io.ReadFull(resp.Body, got); err != nil {
			return httpAnswer{}, c.torn(err)
		}
		c.read.Write(got)
		if !bytes.Equal(got, piece) {
			return httpAnswer{}, wrong("piece %d comes back as %q, want %q", i+1, clip(got), clip(piece))
		}
		if i == 0 {
			wait()
		}
	}
	if n, err := io.Copy(io.Discard, resp.Body); err != nil {
		return httpAnswer{}, c.torn(err)
	} else if n > 0 {
		return httpAnswer{}, wrong("%d bytes more than the echo", n)
	}
	return c.answered(resp.StatusCode, resp.Header.Get), c.nothingMore(on)
}

// begun reads the head of the response. The error is a *lossError.
func (c *httpClient) begun(on *conn, written int, writeErr error) (*http.Response, error) {
	if _, err := on.br.Peek(1); err != nil {
		if writeErr != nil {
			loss := classify(phaseWrite, writeErr)
			loss.unsent = written == 0
			return nil, loss
		}
		return nil, classify(phaseAwait, err)
	}
	resp, err := http.ReadResponse(on.br, c.asked)
	for err == nil && resp.StatusCode/100 == 1 && resp.StatusCode != http.StatusSwitchingProtocols {
		resp, err = http.ReadResponse(on.br, c.asked)
	}
	if err != nil {
		return nil, classify(phaseRead, err)
	}
	return resp, nil
}

// torn is the loss of a response that began and did not go on. A body that says that it is over, before all of it was
// echoed, is wrong and not torn.
func (c *httpClient) torn(err error) *lossError {
	if errors.Is(err, io.EOF) {
		return wrong("the echo ends early")
	}
	return classify(phaseRead, err)
}
