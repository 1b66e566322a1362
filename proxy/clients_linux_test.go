package proxy

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"time"
)

// The clients here never retry: what a server, or whoever stands in front of it, does to one request is seen.

// payload is bytes that nobody else sends.
func payload() []byte {
	b := make([]byte, 1+rand.IntN(3000))
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}

// echoed sends bytes on c and wants them back.
func echoed(c net.Conn) error {
	_ = c.SetDeadline(time.Now().Add(patience))
	sent := payload()
	if _, err := c.Write(sent); err != nil {
		return err
	}
	got := make([]byte, len(sent))
	if n, err := io.ReadFull(c, got); err != nil {
		return fmt.Errorf("%d of %d bytes: %w", n, len(sent), err)
	}
	if !bytes.Equal(got, sent) {
		return fmt.Errorf("an echo of %d bytes differs", len(sent))
	}
	return nil
}

// echoedToTheEnd is echoed, and then an end of stream that comes back too.
func echoedToTheEnd(c net.Conn) error {
	if err := echoed(c); err != nil {
		return err
	}
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		return err
	}
	if n, err := io.Copy(io.Discard, c); n > 0 || err != nil {
		return fmt.Errorf("%d more bytes, and the end: %w", n, err)
	}
	return nil
}

// post is a request whose body a server sends back.
func post(body []byte, header string) []byte {
	return append(fmt.Appendf(nil, "POST /echo HTTP/1.1\r\nHost: app\r\nContent-Length: %d\r\n%s\r\n", len(body), header), body...)
}

// answered reads the response to a post, and tells whether the connection goes on after it.
func answered(r *bufio.Reader, body []byte) (goesOn bool, err error) {
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	return !resp.Close, sameBody(resp, body)
}

func sameBody(resp *http.Response, body []byte) error {
	got, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return fmt.Errorf("body: %w", err)
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("status %s, %.80s", resp.Status, got)
	case !bytes.Equal(got, body):
		return fmt.Errorf("a body of %d bytes came back as another one, of %d", len(body), len(got))
	}
	return nil
}

// postOnce makes one request on a connection of its own, to the end of the stream.
func postOnce(c net.Conn) error {
	body := payload()
	if _, err := c.Write(post(body, "Connection: close\r\n")); err != nil {
		return err
	}
	r := bufio.NewReader(c)
	if _, err := answered(r, body); err != nil {
		return err
	}
	if n, err := io.Copy(io.Discard, r); n > 0 || err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%d bytes after the response: %w", n, err)
	}
	return nil
}

// keepAlive is a client of HTTP/1.1 that keeps its connection.
type keepAliveClient struct {
	connect func() (net.Conn, error)
	stays   bool // may not be told to close
	c       net.Conn
	r       *bufio.Reader
}

// post makes n requests in one go, cut into two writes somewhere.
func (k *keepAliveClient) post(n int) error {
	if k.c == nil {
		c, err := k.connect()
		if err != nil {
			return err
		}
		k.c, k.r = c, bufio.NewReader(c)
	}
	_ = k.c.SetDeadline(time.Now().Add(patience))
	var all []byte
	var bodies [][]byte
	for range n {
		body := payload()
		bodies, all = append(bodies, body), append(all, post(body, "")...)
	}
	cut := rand.IntN(len(all))
	for _, part := range [][]byte{all[:cut], all[cut:]} {
		if _, err := k.c.Write(part); err != nil {
			return err
		}
	}
	for i, body := range bodies {
		goesOn, err := answered(k.r, body)
		if err != nil {
			return fmt.Errorf("request %d of %d: %w", i+1, n, err)
		}
		if goesOn {
			continue
		}
		if k.stays || i+1 < n {
			return fmt.Errorf("request %d of %d: the connection is to be closed", i+1, n)
		}
		k.close()
		k.c = nil
	}
	return nil
}

func (k *keepAliveClient) close() {
	if k.c != nil {
		k.c.Close()
	}
}

// webSocket changes a connection to a protocol that echoes. The first bytes come glued to the request, or just after it.
func webSocket(c net.Conn) error {
	request := "GET /chat HTTP/1.1\r\nHost: app\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
	if _, err := io.WriteString(c, request); err != nil {
		return err
	}
	var head []byte
	for one := make([]byte, 1); !bytes.HasSuffix(head, []byte("\r\n\r\n")); head = append(head, one...) {
		if _, err := io.ReadFull(c, one); err != nil {
			return fmt.Errorf("handshake: %q: %w", head, err)
		}
	}
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) {
		return errors.New("handshake: " + strconv.Quote(string(head)))
	}
	return nil
}

// dialTLS connects with TLS.
func dialTLS(address string, config *tls.Config) (*tls.Conn, error) {
	c, err := dial(address)
	if err != nil {
		return nil, err
	}
	t := tls.Client(c, config)
	if err := t.Handshake(); err != nil {
		c.Close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return t, nil
}
