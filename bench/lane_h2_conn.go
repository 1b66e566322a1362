package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2Conn is an HTTP/2 connection. One goroutine reads it; whoever opens a stream writes, under the lock. x/net's own
// transport is no choice here, since it sends refused streams again.
type h2Conn struct {
	wire *conn
	lane *h2Lane
	out  *bufio.Writer
	fr   *http2.Framer
	over chan struct{} // closed when the reader has ended

	mu       sync.Mutex
	enc      *hpack.Encoder
	block    bytes.Buffer // what enc writes
	streams  map[uint32]*h2Stream
	next     uint32
	window   int64 // what may still be sent on the whole connection
	initial  int64 // what may be sent on a new stream
	largest  int   // frame that the server takes
	most     uint32
	changed  chan struct{} // closed when a window or the number of streams may have
	goAway   *goAway
	ended    bool  // nothing comes any more
	shutting bool  // it is the client that ends it
	spoilt   bool  // streams were lost with the connection
	unacked  int64 // bytes of DATA that no WINDOW_UPDATE has covered yet
}

type goAway struct {
	last uint32
	code http2.ErrCode
}

// h2Stream is one request. The reader owns its answer until done is closed.
type h2Stream struct {
	id     uint32
	client *h2Client
	window int64
	done   chan struct{}
	got    httpAnswer
	begun  bool // a byte of the answer is here
	loss   *lossError
	broken error // why it could not be written

	length   int64 // of the body, as the header says; -1 if it does not
	received int64 // bytes of the body
	unacked  int64 // bytes of DATA that no WINDOW_UPDATE for the stream has covered yet
}

const (
	h2Window  = 1 << 24 // bytes that the server may send without waiting
	h2Refresh = 1 << 20 // bytes after which the connection's window is opened again
)

var errH2Closing = errors.New("the HTTP/2 connection takes no more streams")

// newH2Conn takes ownership of the connection and greets the server. The error is a *lossError.
func newH2Conn(on *conn, lane *h2Lane) (*h2Conn, error) {
	c := &h2Conn{
		wire: on, lane: lane, out: bufio.NewWriter(on), over: make(chan struct{}),
		streams: map[uint32]*h2Stream{}, next: 1, window: 65535, initial: 65535, largest: 16384, most: 1 << 30,
		changed: make(chan struct{}),
	}
	c.enc = hpack.NewEncoder(&c.block)
	c.fr = http2.NewFramer(c.out, on.br)
	c.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.fr.SetMaxReadFrameSize(16384) // what the settings below leave as it is
	c.out.WriteString(http2.ClientPreface)
	_ = c.fr.WriteSettings(
		http2.Setting{ID: http2.SettingEnablePush, Val: 0},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: h2Window},
	)
	_ = c.fr.WriteWindowUpdate(0, h2Window)
	if err := c.out.Flush(); err != nil { // bufio keeps the first error of what was written before
		on.drop()
		return nil, classify(phaseWrite, err)
	}
	c.unbounded()
	go c.read()
	return c, nil
}

// unbounded takes the deadline off: each stream has its own.
func (c *h2Conn) unbounded() {
	c.wire.arm(time.Time{})
}

// open reports whether a stream may be opened.
func (c *h2Conn) open() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.openLocked() && !c.wire.hungUp()
}

func (c *h2Conn) openLocked() bool {
	return !c.ended && c.goAway == nil && !c.shutting && c.next < 1<<31
}

// spotless reports whether the connection has lost no stream by its end.
func (c *h2Conn) spotless() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.spoilt
}

// start opens a stream and sends the client's request on it. The error is errH2Closing if nothing was sent, or else a
// *lossError.
func (c *h2Conn) start(client *h2Client, deadline time.Time) (*h2Stream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if !c.openLocked() {
			return nil, errH2Closing
		}
		if uint32(len(c.streams)) < c.most {
			break
		}
		if err := c.await(client.ctx, deadline); err != nil {
			return nil, classify(phaseAwait, err)
		}
	}
	s := &h2Stream{id: c.next, client: client, window: c.initial, done: make(chan struct{})}
	c.next += 2
	c.streams[s.id] = s
	body := client.content
	if client.lane.body() == bodyNone {
		body = nil
	}
	client.read.Reset()
	c.deadline(deadline)
	c.header(client, len(body))
	err := c.writeHeader(s, len(body) == 0)
	for err == nil && len(body) > 0 && s.loss == nil && !c.ended {
		n := int(min(int64(len(body)), c.window, s.window, int64(c.largest)))
		if n <= 0 {
			if err = c.out.Flush(); err == nil && c.await(client.ctx, deadline) != nil {
				break // finish runs into the same deadline, and gives the stream up
			}
			c.deadline(deadline)
			continue
		}
		c.window, s.window = c.window-int64(n), s.window-int64(n)
		err = c.fr.WriteData(s.id, n == len(body), body[:n])
		body = body[n:]
	}
	if err == nil {
		err = c.out.Flush()
	}
	if err != nil {
		c.broke(s, err)
	}
	return s, nil
}

// await waits, without the lock, until something changed.
func (c *h2Conn) await(ctx context.Context, deadline time.Time) error {
	changed := c.changed
	c.mu.Unlock()
	defer c.mu.Lock()
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-changed:
		return nil
	case <-timer.C:
		return os.ErrDeadlineExceeded
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *h2Conn) change() {
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *h2Conn) deadline(at time.Time) {
	_ = c.wire.wire.SetWriteDeadline(at)
	if c.wire.ctx.Err() != nil {
		_ = c.wire.wire.SetWriteDeadline(time.Unix(1, 0))
	}
}

// broke notes that the stream could not be written: the connection is no good any more. What the server said before
// that may still lie in the socket, so the reader gets a moment to find it.
func (c *h2Conn) broke(s *h2Stream, err error) {
	s.broken = err
	c.spoilt = true
	_ = c.wire.wire.SetReadDeadline(time.Now().Add(time.Second))
}

func (c *h2Conn) header(client *h2Client, length int) {
	l := client.lane
	scheme := l.target.scheme()
	c.block.Reset()
	field := func(name, value string) { _ = c.enc.WriteField(hpack.HeaderField{Name: name, Value: value}) }
	field(":method", l.method)
	field(":scheme", scheme)
	field(":authority", l.target.Host)
	field(":path", l.target.Path)
	for _, line := range client.fields {
		field(strings.ToLower(line[0]), line[1])
	}
	if l.body() != bodyNone {
		field("content-length", strconv.Itoa(length))
	}
	for _, name := range []string{idHeader, "X-Request-Id"} {
		field(strings.ToLower(name), string(client.ident))
	}
}

func (c *h2Conn) writeHeader(s *h2Stream, last bool) error {
	block := c.block.Bytes()
	first := block[:min(len(block), c.largest)]
	block = block[len(first):]
	err := c.fr.WriteHeaders(http2.HeadersFrameParam{
		StreamID: s.id, BlockFragment: first, EndStream: last, EndHeaders: len(block) == 0,
	})
	for err == nil && len(block) > 0 {
		part := block[:min(len(block), c.largest)]
		block = block[len(part):]
		err = c.fr.WriteContinuation(s.id, len(block) == 0, part)
	}
	return err
}

// finish waits for the answer. The error is a *lossError.
func (c *h2Conn) finish(ctx context.Context, s *h2Stream, deadline time.Time) (httpAnswer, error) {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	var cause error
	select {
	case <-s.done:
	case <-timer.C:
		cause = os.ErrDeadlineExceeded
	case <-ctx.Done():
		cause = ctx.Err()
	}
	if cause != nil && c.giveUp(s) {
		phase := phaseAwait
		if s.begun {
			phase = phaseRead
		}
		return httpAnswer{}, classify(phase, fmt.Errorf("stream %d: %w", s.id, cause))
	}
	switch {
	case s.loss != nil && s.broken != nil && !s.loss.refused:
		return httpAnswer{}, classify(phaseWrite, s.broken)
	case s.loss != nil:
		return httpAnswer{}, s.loss
	}
	s.got.body = s.client.read.Bytes()
	return s.got, nil
}

// forget takes a stream off the list. The client closes a connection that it has been told to leave after its last one.
func (c *h2Conn) forget(s *h2Stream) {
	delete(c.streams, s.id)
	c.change()
	c.leaveIfDone()
}

func (c *h2Conn) leaveIfDone() {
	if c.goAway != nil && len(c.streams) == 0 {
		_ = c.wire.wire.SetReadDeadline(time.Unix(1, 0)) // the reader ends, and closes it
	}
}

// giveUp tells the server that nobody waits for the stream any more, and reports whether it was still under way.
func (c *h2Conn) giveUp(s *h2Stream) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.streams[s.id] == nil {
		return false
	}
	c.forget(s)
	c.deadline(time.Now().Add(time.Second))
	_ = c.fr.WriteRSTStream(s.id, http2.ErrCodeCancel)
	_ = c.out.Flush()
	return true
}

// close ends the connection politely, and waits for the reader.
func (c *h2Conn) close() {
	c.mu.Lock()
	c.shutting = true
	c.deadline(time.Now().Add(time.Second))
	if !c.ended {
		_ = c.fr.WriteGoAway(0, http2.ErrCodeNo, nil)
		_ = c.out.Flush()
	}
	c.wire.wire.SetReadDeadline(time.Unix(1, 0))
	c.mu.Unlock()
	<-c.over
}
