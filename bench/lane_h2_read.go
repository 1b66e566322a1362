package bench

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/net/http2"
)

// read takes in what the server sends until the connection ends, and closes it then.
func (c *h2Conn) read() {
	defer close(c.over)
	for {
		f, err := c.fr.ReadFrame()
		c.mu.Lock()
		var stream http2.StreamError
		switch {
		case errors.As(err, &stream): // the framer's word for a header block that is malformed
			c.lose(c.streams[stream.StreamID], wrong("a malformed answer: %v", stream))
		case err != nil:
			c.end(err)
			c.mu.Unlock()
			c.wire.close()
			return
		default:
			err = c.take(f)
		}
		if err != nil && !errors.As(err, &stream) {
			c.end(err)
			c.mu.Unlock()
			c.wire.drop()
			return
		}
		c.mu.Unlock()
	}
}

// take deals with one frame. An error ends the connection.
func (c *h2Conn) take(f http2.Frame) error {
	id := f.Header().StreamID
	s := c.streams[id]
	switch f := f.(type) {
	case *http2.SettingsFrame:
		return c.settings(f)
	case *http2.PingFrame:
		if !f.IsAck() {
			return c.reply(c.fr.WritePing(true, f.Data))
		}
	case *http2.WindowUpdateFrame:
		if id == 0 {
			c.window += int64(f.Increment)
		} else if s != nil {
			s.window += int64(f.Increment)
		}
		c.change()
	case *http2.GoAwayFrame:
		c.leaving(f)
	case *http2.RSTStreamFrame:
		c.reset(s, f.ErrCode)
	case *http2.MetaHeadersFrame:
		c.headers(s, f)
	case *http2.DataFrame:
		return c.data(s, f)
	case *http2.PushPromiseFrame:
		return fmt.Errorf("PUSH_PROMISE, though the client does not allow it")
	}
	if id != 0 && id >= c.next {
		return fmt.Errorf("a frame for stream %d, which nobody has opened", id)
	}
	return nil
}

func (c *h2Conn) reply(err error) error {
	c.deadline(time.Now().Add(probeTimeout))
	return errors.Join(err, c.out.Flush())
}

func (c *h2Conn) settings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		return nil
	}
	err := f.ForeachSetting(func(v http2.Setting) error {
		if err := v.Valid(); err != nil {
			return err
		}
		switch v.ID {
		case http2.SettingInitialWindowSize:
			for _, s := range c.streams {
				s.window += int64(v.Val) - c.initial
			}
			c.initial = int64(v.Val)
		case http2.SettingMaxFrameSize:
			c.largest = int(v.Val)
		case http2.SettingMaxConcurrentStreams:
			c.most = v.Val
		case http2.SettingHeaderTableSize:
			c.enc.SetMaxDynamicTableSize(min(v.Val, 4096))
		}
		return nil
	})
	c.change()
	if err != nil {
		return err
	}
	return c.reply(c.fr.WriteSettingsAck())
}

// leaving takes a GOAWAY. What is above the last stream it names was not processed, and may be sent again.
func (c *h2Conn) leaving(f *http2.GoAwayFrame) {
	c.goAway = &goAway{f.LastStreamID, f.ErrCode}
	for id, s := range c.streams {
		if id <= f.LastStreamID {
			continue
		}
		c.lose(s, &lossError{
			Failure: Failure{StreamRefused, "GOAWAY"},
			cause:   fmt.Errorf("stream %d, and GOAWAY (%v) names %d as the last one", id, f.ErrCode, f.LastStreamID),
			refused: true,
			hidden:  id != 1 || f.ErrCode == http2.ErrCodeNo,
		})
	}
	c.change()
	c.leaveIfDone()
}

// reset takes an RST_STREAM.
func (c *h2Conn) reset(s *h2Stream, code http2.ErrCode) {
	loss := &lossError{Failure: Failure{StreamReset, code.String()}, cause: errors.New("RST_STREAM")}
	switch code {
	case http2.ErrCodeRefusedStream:
		loss.Class, loss.refused, loss.hidden = StreamRefused, true, true
	case http2.ErrCodeProtocol:
		loss.hidden = true // golang.org/issue/47635
	}
	c.lose(s, loss)
}

func (c *h2Conn) headers(s *h2Stream, f *http2.MetaHeadersFrame) {
	if s == nil {
		return
	}
	switch {
	case f.Truncated:
		c.lose(s, wrong("an answer whose header is too long"))
	case s.got.status != 0 && !f.StreamEnded():
		c.lose(s, wrong("two headers in one answer"))
	case s.got.status != 0: // trailers
		c.complete(s)
	default:
		status, err := strconv.Atoi(f.PseudoValue("status"))
		switch {
		case err != nil || len(f.PseudoValue("status")) != 3:
			c.lose(s, wrong("an answer with the status %q", f.PseudoValue("status")))
			return
		case status/100 == 1:
			return
		}
		s.begun = true
		header := http.Header{}
		for _, field := range f.RegularFields() {
			header.Add(field.Name, field.Value)
		}
		s.got = s.client.answered(status, header.Get)
		s.length = -1
		n, err := strconv.ParseInt(header.Get("Content-Length"), 10, 64)
		if err == nil && s.client.lane.method != http.MethodHead {
			s.length = n
		}
		if f.StreamEnded() {
			c.complete(s)
		}
	}
}

func (c *h2Conn) data(s *h2Stream, f *http2.DataFrame) error {
	size := int64(f.Length)
	c.unacked += size
	if s != nil {
		switch {
		case s.got.status == 0:
			c.lose(s, wrong("an answer without a header"))
		default:
			s.received += int64(len(f.Data()))
			if room := maxCompared - s.client.read.Len(); room > 0 && s.client.wantsBody() {
				s.client.read.Write(f.Data()[:min(room, len(f.Data()))])
			}
			if f.StreamEnded() {
				c.complete(s)
			} else if size > 0 {
				s.unacked += size
				if s.unacked >= h2Refresh {
					if err := c.reply(c.fr.WriteWindowUpdate(s.id, uint32(s.unacked))); err != nil {
						return err
					}
					s.unacked = 0
				}
			}
		}
	}
	if c.unacked < h2Refresh {
		return nil
	}
	n := uint32(c.unacked)
	c.unacked = 0
	return c.reply(c.fr.WriteWindowUpdate(0, n))
}

// complete ends a stream whose answer is whole.
func (c *h2Conn) complete(s *h2Stream) {
	if s.length >= 0 && s.length != s.received {
		c.lose(s, wrong("a body of %d bytes that was to have %d", s.received, s.length))
		return
	}
	close(s.done)
	c.forget(s)
}

// lose ends a stream that is lost; nil is none.
func (c *h2Conn) lose(s *h2Stream, loss *lossError) {
	if s == nil || c.streams[s.id] == nil {
		return
	}
	s.loss = loss
	close(s.done)
	c.forget(s)
}

// end loses every stream that is still under way: the connection has ended.
func (c *h2Conn) end(err error) {
	c.spoilt = c.spoilt || len(c.streams) > 0
	for _, s := range c.streams {
		phase := phaseAwait
		if s.begun {
			phase = phaseRead
		}
		loss := classify(phase, fmt.Errorf("stream %d: %w", s.id, err))
		if c.goAway != nil && (isEOF(err) || loss.Class == ResetBeforeResponse || loss.Class == ResetMidResponse) {
			loss.Class = GoAwayCut
		}
		c.lose(s, loss)
	}
	c.ended = true
	c.change()
}
