package proxy_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// The clients here write requests that were made before and read no more of an answer than they must, so that the
// machine is the proxies'. They never retry: whatever fails, fails the benchmark.

const serverName = "peers.test"

const fields = " HTTP/1.1\r\nHost: " + serverName + "\r\nUser-Agent: peers\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n"

var (
	getSmall = []byte("GET /" + fields + "\r\n")
	getLarge = []byte("GET /large" + fields + "\r\n")
	postSome = fmt.Appendf(nil, "POST /%sContent-Length: %d\r\n\r\n%s", fields, postBody, strings.Repeat("y", postBody))
)

// webClient is a connection with its buffer.
type webClient struct {
	net.Conn
	r *bufio.Reader
}

func newWebClient(c net.Conn, err error) (*webClient, error) {
	if err != nil {
		return nil, err
	}
	return &webClient{c, bufio.NewReaderSize(c, 64<<10)}, nil
}

// do makes a request, and wants a body of so many bytes.
func (c *webClient) do(request []byte, body int) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	first, err := c.r.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(first, []byte("HTTP/1.1 200 ")) {
		return fmt.Errorf("answer begins %q", first)
	}
	h, err := readHead(c.r)
	switch {
	case err != nil:
		return err
	case h.length != body || h.chunked || h.close:
		return fmt.Errorf("answer of %+v, not of %d bytes on a connection that stays", h, body)
	}
	_, err = c.r.Discard(h.length)
	return err
}

// connect opens a connection without TLS.
func connect(address netip.AddrPort) (net.Conn, error) { return net.Dial("tcp", address.String()) }

// tlsConfig asks everybody for the same. Go 1.26 by itself agrees with servers that know it on a key exchange that is
// safe from quantum computers, and takes longer.
func tlsConfig(protocols ...string) *tls.Config {
	return &tls.Config{
		ServerName: serverName, InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, NextProtos: protocols,
		CurvePreferences: []tls.CurveID{tls.X25519},
	}
}

// connectTLS opens a connection, and wants the same terms of everybody.
func connectTLS(address netip.AddrPort, config *tls.Config) (*tls.Conn, error) {
	raw, err := connect(address)
	if err != nil {
		return nil, err
	}
	c := tls.Client(raw, config)
	if err := c.Handshake(); err != nil {
		raw.Close()
		return nil, fmt.Errorf("handshake: %w", err)
	}
	s := c.ConnectionState()
	if s.CipherSuite != tls.TLS_AES_128_GCM_SHA256 || s.CurveID != tls.X25519 && !s.DidResume {
		c.Close()
		return nil, fmt.Errorf("TLS with %s and %s", tls.CipherSuiteName(s.CipherSuite), s.CurveID)
	}
	if want := strings.Join(config.NextProtos, ""); s.NegotiatedProtocol != want {
		c.Close()
		return nil, fmt.Errorf("protocol %q, not %q", s.NegotiatedProtocol, want)
	}
	return c, nil
}

// keepAlive makes requests on connections that stay, on all of them at the same time.
func keepAlive(secure bool, conns int, request []byte, body int) func(*testing.B, *contender) sample {
	return func(b *testing.B, p *contender) sample {
		clients := make([]*webClient, conns)
		for i := range clients {
			var err error
			if secure {
				clients[i], err = newWebClient(connectTLS(p.HTTPS, tlsConfig()))
			} else {
				clients[i], err = newWebClient(connect(p.HTTP))
			}
			must(b, err)
			defer clients[i].Close()
			must(b, clients[i].do(request, body))
		}
		return p.measure(b, func() (int, []time.Duration) {
			return repeat(b, conns, func(i int) (time.Duration, error) {
				begin := time.Now()
				err := clients[i].do(request, body)
				return time.Since(begin), err
			})
		})
	}
}

// newEach makes a request on a connection of its own. The latency is that from connecting to the answer.
func newEach(connect func(p *contender, client int) (net.Conn, error)) func(*testing.B, *contender) sample {
	return func(b *testing.B, p *contender) sample {
		readers := make([]*bufio.Reader, dialers)
		for i := range readers {
			readers[i] = bufio.NewReader(nil)
		}
		return p.measure(b, func() (int, []time.Duration) {
			return repeat(b, dialers, func(i int) (time.Duration, error) {
				begin := time.Now()
				c, err := connect(p, i)
				if err != nil {
					return 0, err
				}
				readers[i].Reset(c)
				err = (&webClient{c, readers[i]}).do(getSmall, smallBody)
				took := time.Since(begin)
				return took, errors.Join(err, c.Close())
			})
		})
	}
}

func connectPlain(p *contender, _ int) (net.Conn, error) { return connect(p.HTTP) }

// connectFull makes a whole handshake.
func connectFull(p *contender, _ int) (net.Conn, error) { return connectTLS(p.HTTPS, tlsConfig()) }

// connectResumed returns what connects with a ticket. Each client has its own.
func connectResumed() func(*contender, int) (net.Conn, error) {
	type session struct {
		*contender
		client int
	}
	var mu sync.Mutex
	configs := make(map[session]*tls.Config)
	return func(p *contender, client int) (net.Conn, error) {
		mu.Lock()
		config := configs[session{p, client}]
		first := config == nil
		if first {
			config = tlsConfig()
			config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			configs[session{p, client}] = config
		}
		mu.Unlock()
		c, err := connectTLS(p.HTTPS, config)
		if err != nil {
			return nil, err
		}
		if !first && !c.ConnectionState().DidResume {
			c.Close()
			return nil, errors.New("the session did not resume")
		}
		return c, nil
	}
}

// h2Load makes requests over HTTP/2: on each connection, so many at a time.
func h2Load(conns, streams int) func(*testing.B, *contender) sample {
	return func(b *testing.B, p *contender) sample {
		clients := make([]*h2Client, conns)
		for i := range clients {
			c, err := connectTLS(p.HTTPS, tlsConfig(http2.NextProtoTLS))
			must(b, err)
			defer c.Close()
			clients[i] = newH2Client(c)
			_, err = clients[i].run(streams, 0)
			must(b, err)
		}
		return p.measure(b, func() (int, []time.Duration) {
			latencies := make([][]time.Duration, conns)
			var running sync.WaitGroup
			for i, c := range clients {
				running.Go(func() {
					var err error
					if latencies[i], err = c.run(streams, slice); err != nil {
						b.Errorf("%s: %v", p.name, err)
					}
				})
			}
			running.Wait()
			return gather(latencies)
		})
	}
}

// h2Client makes the same request over and over. It reads frames, and decodes no fields but the status.
type h2Client struct {
	w     *bufio.Writer
	r     *bufio.Reader
	f     *http2.Framer
	block []byte // the request's fields
	next  uint32 // the stream's number
	begun map[uint32]time.Time
	quota uint32 // bytes that were read since the server was last given more
}

func newH2Client(c net.Conn) *h2Client {
	h := &h2Client{w: bufio.NewWriter(c), r: bufio.NewReader(c), next: 1, begun: make(map[uint32]time.Time)}
	h.f = http2.NewFramer(h.w, h.r)
	h.f.SetReuseFrames()
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	for _, f := range [][2]string{
		{":method", "GET"}, {":scheme", "https"}, {":authority", serverName}, {":path", "/"}, {"user-agent", "peers"},
		{"accept", "*/*"}, {"accept-encoding", "gzip"},
	} {
		// Sensitive is what no table remembers, so that the block is the same for all requests.
		_ = e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1], Sensitive: true})
	}
	h.block = block.Bytes()
	_, _ = io.WriteString(h.w, http2.ClientPreface)
	_ = h.f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
	return h
}

// run keeps so many requests under way for as long as d, at least one round of them, and returns how long each took.
func (h *h2Client) run(streams int, d time.Duration) (latencies []time.Duration, err error) {
	begin := time.Now()
	for range streams {
		if err := h.request(begin); err != nil {
			return nil, err
		}
	}
	for len(h.begun) > 0 {
		if h.r.Buffered() == 0 {
			if err := h.w.Flush(); err != nil {
				return nil, err
			}
		}
		f, err := h.f.ReadFrame()
		if err != nil {
			return nil, err
		}
		ended, err := h.take(f)
		if err != nil {
			return nil, err
		}
		if !ended {
			continue
		}
		now := time.Now()
		latencies = append(latencies, now.Sub(h.begun[f.Header().StreamID]))
		delete(h.begun, f.Header().StreamID)
		if now.Sub(begin) < d {
			if err := h.request(now); err != nil {
				return nil, err
			}
		}
	}
	return latencies, h.w.Flush()
}

func (h *h2Client) request(now time.Time) error {
	h.begun[h.next] = now
	err := h.f.WriteHeaders(http2.HeadersFrameParam{
		StreamID: h.next, BlockFragment: h.block, EndStream: true, EndHeaders: true,
	})
	h.next += 2
	return err
}

// take deals with a frame, and tells whether it ends an answer.
func (h *h2Client) take(f http2.Frame) (ended bool, err error) {
	switch f := f.(type) {
	case *http2.HeadersFrame:
		block := f.HeaderBlockFragment()
		for len(block) > 0 && block[0]>>5 == 1 { // a change of the table's size comes before the fields
			block = block[1:]
		}
		const status200 = 0x88 // RFC 7541, appendix A: index 8
		if !f.HeadersEnded() || len(block) == 0 || block[0] != status200 {
			return false, fmt.Errorf("answer begins % x", block[:min(len(block), 16)])
		}
		return f.StreamEnded(), nil
	case *http2.DataFrame:
		h.quota += f.Length
		if h.quota >= 16<<10 {
			err = h.f.WriteWindowUpdate(0, h.quota)
			h.quota = 0
		}
		return f.StreamEnded(), err
	case *http2.SettingsFrame:
		if !f.IsAck() {
			err = h.f.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			err = h.f.WritePing(true, f.Data)
		}
	case *http2.WindowUpdateFrame:
	default:
		err = fmt.Errorf("the server sent %v", f.Header())
	}
	return false, err
}
