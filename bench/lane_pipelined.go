package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// pipelineDepth is how many requests a pipelined operation sends at once.
const pipelineDepth = 4

// Pipelined is the lane of clients that send four GETs at once on a connection that stays open, and expect four answers
// in their order. The four are one operation, which is lost if one of them is. It is called "http pipelined" or "https
// pipelined".
//
// A server may answer some and close the connection after that. What it left unanswered is a loss, and one that a
// client which retries would have hidden, since a server must not work on what follows an answer that says "Connection:
// close" (RFC 9112, sections 9.3.2 and 9.6).
func Pipelined(target HTTP) Lane {
	return pipelined{newHTTPLane("pipelined", http.MethodGet, target)}
}

type pipelined struct{ *httpLane }

func (pipelined) Persistent() bool { return true }

func (l pipelined) Client(ctx context.Context, id int) Client {
	c := &pipelinedClient{keepAliveClient: keepAliveClient{httpClient: l.resumingClient(ctx, id)}}
	for range pipelineDepth {
		c.asks = append(c.asks, l.client(ctx, id))
	}
	return c
}

type pipelinedClient struct {
	keepAliveClient               // has the connection
	asks            []*httpClient // one for each of the requests that are under way at once
	batch           []byte
}

func (c *pipelinedClient) Do(seq int64, deadline time.Time) (r Result) {
	if err := c.ready(&r, deadline); err != nil {
		return r.over(err)
	}
	c.batch = c.batch[:0]
	for i, ask := range c.asks {
		ask.compose(seq*pipelineDepth + int64(i))
		c.batch = append(c.batch, ask.request...)
	}
	c.before, c.ident = c.ident, append(c.before[:0], c.asks[pipelineDepth-1].ident...)
	if c.beforeSend != nil {
		c.beforeSend(c.on)
	}
	written, writeErr := c.on.Write(c.batch)
	closing := false
	for i, ask := range c.asks {
		got, err := ask.receive(c.on, written, writeErr)
		if err != nil {
			c.forget()
			return r.over(nth(i, err, closing))
		}
		closing = closing || got.close && writeErr == nil
		if ask.settle(&r, got); r.Class != OK {
			c.forget() // the answers behind it would be taken for those of the next requests
			return r
		}
		if i == pipelineDepth-1 {
			if err := ask.nothingMore(c.on); err != nil {
				c.forget()
				return r.over(err)
			}
			c.keep(got)
		}
	}
	return r
}

// nth says which of the answers is missing. closing: the one before said that the connection ends with it.
func nth(i int, err error, closing bool) error {
	var loss *lossError
	if !errors.As(err, &loss) {
		return err
	}
	loss.cause = fmt.Errorf("answer %d of %d: %w", i+1, pipelineDepth, loss.cause)
	ended := loss.Class == EOFBeforeResponse || loss.Class == ResetBeforeResponse
	loss.hidden = loss.hidden || closing && ended
	return loss
}
