//lint:file-ignore SA1019 x/net's connections are known not to send a request again

package proxy

import (
	"bytes"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/http2"
)

// h2Client is a client of HTTP/2 that keeps its connection until it is told to go.
type h2Client struct {
	connect func() (net.Conn, error)
	c       *http2.ClientConn
	under   net.Conn
}

func (h *h2Client) post() error {
	if h.c == nil || !h.c.CanTakeNewRequest() {
		h.close()
		c, err := h.connect()
		if err != nil {
			return err
		}
		h.under = c
		if h.c, err = (&http2.Transport{}).NewClientConn(c); err != nil {
			return err
		}
	}
	_ = h.under.SetDeadline(time.Now().Add(patience))
	body := payload()
	req, err := http.NewRequest(http.MethodPost, "https://app/echo", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.GetBody = nil
	resp, err := h.c.RoundTrip(req) // of a connection, which does not send again
	if err != nil && strings.Contains(err.Error(), "client conn not usable") {
		return nil // GOAWAY came since it was asked: nothing was sent
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return sameBody(resp, body)
}

func (h *h2Client) close() {
	if h.c != nil {
		h.c.Close()
	}
}
