package bench

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
)

// maxCompared is how much of a response's body is kept to be compared.
const maxCompared = 64 << 10

// settle ends the result of an operation whose response arrived whole.
func (c *httpClient) settle(r *Result, got httpAnswer) Result {
	r.Generation = got.generation
	r.Duplicate = r.Duplicate || got.seen > 1
	return r.over(c.judge(got))
}

// judge returns nil if the response is the right one, or else a *lossError.
func (c *httpClient) judge(got httpAnswer) error {
	want := c.lane.want
	switch {
	case want.ids && got.id != "" && got.id != string(c.ident):
		loss := wrong("answers request %q, want %q", got.id, c.ident)
		loss.duplicate = got.id == string(c.before)
		return loss
	case got.status != want.status:
		return &lossError{
			Failure: Failure{WrongStatus, strconv.Itoa(got.status)},
			cause:   fmt.Errorf("status %d, want %d", got.status, want.status),
		}
	case want.echo && !bytes.Equal(got.body, c.content[:min(len(c.content), maxCompared)]):
		return wrong("echo is %q, want %q", clip(got.body), clip(c.content))
	case want.body != nil && !bytes.Equal(got.body, want.body):
		return wrong("body is %q, want %q", clip(got.body), clip(want.body))
	}
	return nil
}

// unasked is the loss of an operation that was not sent, because its connection spoke without having been asked. A
// client that retries would have taken another connection.
func (c *httpClient) unasked(on *conn) *lossError {
	loss := *errUnasked
	loss.hidden = true
	loss.duplicate = c.mentioned(on)
	return &loss
}

// timedOutAtRest reads what a server said on a connection at rest, and reports whether it is the 408 by which some
// announce that they close it.
func (c *httpClient) timedOutAtRest(on *conn) bool {
	resp, err := http.ReadResponse(on.br, c.asked)
	return err == nil && resp.StatusCode == http.StatusRequestTimeout
}

func clip(b []byte) []byte { return b[:min(len(b), 40)] }
