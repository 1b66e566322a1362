package httpproxy

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// continueAfter is how long a server may take to say 100 Continue: those that do not know it never do (RFC 9110,
// section 10.1.1).
const continueAfter = time.Second

type buffer [32 << 10]byte

// buffers are what bodies are copied through.
var buffers = sync.Pool{New: func() any { return new(buffer) }}

// lineEnds takes out of a trailer what would begin another line.
var lineEnds = strings.NewReplacer("\r", " ", "\n", " ", "\x00", " ")

// sender sends a request's body to an HTTP/1.1 server while its answer is awaited.
type sender struct {
	c       *conn
	out     *outgoing
	proceed chan struct{} // closed by the server's 100 Continue
	abandon chan struct{} // closed when the server has answered without it
	done    chan struct{}
	err     error       // once done
	stalled atomic.Bool // the server took nothing for too long
}

func startSender(c *conn, out *outgoing) *sender {
	s := &sender{
		c: c, out: out,
		proceed: make(chan struct{}), abandon: make(chan struct{}), done: make(chan struct{}),
	}
	out.body.sending.Go(s.run)
	return s
}

func (s *sender) run() {
	defer close(s.done)
	if s.out.expect && !s.mayProceed() {
		s.err = errStopped
		return
	}
	s.err = s.send()
	switch {
	case s.out.body.err.Load() != nil:
		_ = s.c.Close() // the server must not take a part for the whole, and nobody waits for its answer
	case s.err != nil && isTimeout(s.err):
		s.stalled.Store(true)
		_ = s.c.Close()
	default: // even after an error: a server may answer, and close, before it has read everything
		s.c.expectAnswer()
	}
}

// mayProceed waits for the server to want the body.
func (s *sender) mayProceed() bool {
	wait := time.NewTimer(continueAfter)
	defer wait.Stop()
	select {
	case <-s.proceed:
	case <-wait.C:
	case <-s.abandon:
		return false
	}
	return true
}

func (s *sender) send() error {
	buf := buffers.Get().(*buffer)
	defer buffers.Put(buf)
	length := s.out.length()
	for sent := int64(0); ; {
		n, err := s.out.body.Read(buf[:])
		sent += int64(n)
		if n > 0 {
			if err := s.write(buf[:n], length < 0); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF && length < 0:
			return s.endChunks()
		case err == io.EOF && sent < length:
			return io.ErrUnexpectedEOF
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

func (s *sender) write(p []byte, chunked bool) error {
	if !chunked {
		_, err := toServer{s.c}.Write(p)
		return err
	}
	w := s.c.w
	_, _ = w.WriteString(strconv.FormatInt(int64(len(p)), 16))
	_, _ = w.WriteString("\r\n")
	_, _ = w.Write(p)
	_, _ = w.WriteString("\r\n")
	return w.Flush()
}

// endChunks writes the last chunk and the trailers.
func (s *sender) endChunks() error {
	w := s.c.w
	_, _ = w.WriteString("0\r\n")
	for _, name := range s.out.trailers {
		for _, v := range s.out.in.Trailer[name] {
			_, _ = fmt.Fprintf(w, "%s: %s\r\n", name, lineEnds.Replace(v))
		}
	}
	_, _ = w.WriteString("\r\n")
	return w.Flush()
}

// sent tells whether the whole body is with the server, so that the connection can be used again.
func (s *sender) sent() bool {
	if s.out.body.ended.Load() { // it is about to be, unless the server has stopped reading
		wait := time.NewTimer(10 * time.Millisecond)
		defer wait.Stop()
		select {
		case <-s.done:
		case <-wait.C:
		}
	}
	select {
	case <-s.done:
		return s.err == nil
	default:
		return false
	}
}
