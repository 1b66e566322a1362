package stream

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-e3b9a99f/baton/internal/relay"
)

var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// copyBoth moves bytes between a client whose TLS ends here and a server, until both have ended.
func (s *Server) copyBoth(settings *Settings, c *conn, server net.Conn) {
	up, down, err := Copy(c.Conn, server, settings.Listener.IdleTimeout, s.opts.Done)
	c.Up, c.Down = c.Up+up, down
	s.end(c, ClassOf(err), err)
}

// Copy moves bytes between client and server until both have ended, nothing has moved for the idle time (0 for no
// limit), or done is closed; then it has closed both. The error is one that a relay would end with.
func Copy(client, server net.Conn, idle time.Duration, done <-chan struct{}) (up, down uint64, err error) {
	var last, sent, got atomic.Int64
	var stuck atomic.Int32 // writes under way
	last.Store(time.Now().UnixNano())
	var verdict atomic.Pointer[error]
	end := func(err error) {
		switch {
		case !verdict.CompareAndSwap(nil, &err) || err == nil:
		case errors.Is(err, relay.ErrIdle) && stuck.Load() == 0:
			_ = client.Close()
			_ = server.Close()
		default: // a clean end would tell the other side that it has everything
			reset(client)
			reset(server)
		}
	}
	if idle > 0 {
		var timer *time.Timer
		armed := make(chan struct{})
		timer = time.AfterFunc(idle, func() {
			<-armed
			if rest := idle - time.Since(time.Unix(0, last.Load())); rest > 0 {
				timer.Reset(rest)
				return
			}
			end(relay.ErrIdle)
		})
		close(armed)
		defer timer.Stop()
	}
	finished := make(chan struct{})
	defer close(finished)
	go func() {
		select {
		case <-done:
			end(relay.ErrAborted)
		case <-finished:
		}
	}()
	var other sync.WaitGroup
	other.Go(func() {
		if err := copyOne(server, client, "upstream", "client", &sent, &last, &stuck); err != nil {
			end(err)
		}
	})
	if err := copyOne(client, server, "client", "upstream", &got, &last, &stuck); err != nil {
		end(err)
	}
	other.Wait()
	end(nil)
	_ = client.Close()
	_ = server.Close()
	return uint64(sent.Load()), uint64(got.Load()), *verdict.Load()
}

// copyOne passes on what from sends, and the end of it.
func copyOne(to, from net.Conn, toName, fromName string, n, last *atomic.Int64, stuck *atomic.Int32) error {
	buf := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buf)
	for {
		got, err := from.Read(buf[:])
		if got > 0 {
			last.Store(time.Now().UnixNano())
			stuck.Add(1)
			written, werr := to.Write(buf[:got])
			stuck.Add(-1)
			last.Store(time.Now().UnixNano())
			n.Add(int64(written))
			if werr != nil {
				return &relay.SideError{Side: toName, Err: werr}
			}
		}
		switch {
		case err == nil:
		// An end without close_notify, as many clients send it, is io.EOF too. One within a record is none: bytes are lost.
		case errors.Is(err, io.EOF):
			if half, ok := to.(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite()
			}
			return nil
		default:
			return &relay.SideError{Side: fromName, Err: err}
		}
	}
}
