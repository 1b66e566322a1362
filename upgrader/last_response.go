package upgrader

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"time"
)

// On a connection that cannot move, the response that says "Connection: close" is the last: requests that were pipelined
// behind go unanswered (RFC 9112, section 9.6), and a client that does not send twice has lost them. So a response says
// it only if nothing has arrived behind its request: not in net/http's buffer, not in crypto/tls's, not in the kernel.
// Otherwise the connection stays as it is, and ends with a later response. What can still get lost is what a client
// sends behind a request after the answer to that was made, and before it has arrived. A body that has not been read by
// then hides what is behind it: the response says close unless the client is known to pipeline.

const (
	// readerStart is how long the goroutine that net/http starts to read behind a request may take to do so on a busy
	// machine. A client that is known to pipeline has probably given it something to do.
	readerStart     = 100 * time.Millisecond
	readerStartSoon = 2 * time.Millisecond
	// A client that is known to pipeline must have sent nothing for pipelinePause and two round trips: its kernel may hold
	// the rest of a batch back until it hears of the beginning. A network that is slower than pipelineMost loses then.
	pipelinePause = 20 * time.Millisecond
	pipelineMost  = 250 * time.Millisecond
)

// lastResponses lets HTTP/1 connections end with their next response once this process is to end, and answers for the
// program in maintenance mode.
func (u *Upgrader) lastResponses(next http.Handler) http.Handler {
	page := u.opts.MaintenancePage
	if page == nil {
		page = maintenancePage
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler := next
		if u.Maintenance() {
			handler = page
		}
		if r.ProtoMajor == 1 {
			select {
			case <-u.exit:
				u.mayEnd(handler, w, r)
				return
			default:
			}
		}
		handler.ServeHTTP(w, r)
	})
}

// mayEnd answers a request in a process that is to end.
func (u *Upgrader) mayEnd(handler http.Handler, w http.ResponseWriter, r *http.Request) {
	moves := false
	var conn *TrackedConn
	switch c := r.Context().Value(connKey{}).(type) {
	case *movableConn:
		moves, conn = c.willMove(), c.TrackedConn
	case *TrackedConn:
		conn = c
	}
	if moves || r.Header.Get("Upgrade") != "" { // whose response needs the header for that
		handler.ServeHTTP(w, r)
		return
	}
	full, isFull := w.(fullResponse)
	if _, ok := readAhead().of(w); !ok || !isFull || conn == nil || r.Close {
		w.Header().Set("Connection", "close")
		handler.ServeHTTP(w, r)
		return
	}
	last := &lastResponse{fullResponse: full, u: u, conn: conn}
	if r.Body != http.NoBody {
		last.body = followBody(r)
		r = r.WithContext(r.Context()) // net/http needs its own body in its own request
		r.Body = last.body
	}
	handler.ServeHTTP(last, r)
	last.decide()
	if r.MultipartForm != nil {
		_ = r.MultipartForm.RemoveAll() // as net/http does for the request that it knows
	}
}

// fullResponse is all that net/http's own can do, since programs ask for it by type assertion.
type fullResponse interface {
	http.ResponseWriter
	io.ReaderFrom
	io.StringWriter
	http.Flusher
	http.Hijacker
	FlushError() error
	CloseNotify() <-chan bool
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
	EnableFullDuplex() error
}

// lastResponse says "Connection: close" at the last moment at which it can, if it can.
type lastResponse struct {
	fullResponse
	u       *Upgrader
	conn    *TrackedConn
	body    *followedBody // nil if there is none
	decided bool
}

// Hijack leaves nothing to be said.
func (w *lastResponse) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.decided = true
	return w.fullResponse.Hijack()
}

// Unwrap is for http.ResponseController.
func (w *lastResponse) Unwrap() http.ResponseWriter { return w.fullResponse }

func (w *lastResponse) decide() {
	if w.decided {
		return
	}
	w.decided = true
	if w.u.drainEndsSoon() || !w.moreHasCome() {
		w.Header().Set("Connection", "close")
	}
}

// moreHasCome tells whether something behind this request has arrived, or may have.
func (w *lastResponse) moreHasCome() bool {
	ahead := func() []byte {
		b, _ := readAhead().of(w.fullResponse)
		return b
	}
	in := w.conn.inbound
	if w.body != nil && !w.body.hasEnded(func() int { return len(ahead()) }) {
		return in.pipelines()
	}
	moment := readerStart
	if in.pipelines() {
		moment = readerStartSoon
	}
	if anyRequest(ahead()) || !w.conn.usedUp(moment) {
		in.setPipelines()
		return true
	}
	return in.pipelines() && !w.conn.staysSilent(min(pipelinePause+2*roundTrip(w.conn), pipelineMost))
}

// drainEndsSoon tells whether so little is left of a drain that a client which never pauses must be told to go.
func (u *Upgrader) drainEndsSoon() bool { return time.Until(u.drainEnds) < u.opts.DrainTimeout/10 }

// WriteHeader and all that implies it settle what the header says.
func (w *lastResponse) WriteHeader(code int) {
	if code >= 200 {
		w.decide()
	} else if code == http.StatusSwitchingProtocols {
		w.decided = true
	}
	w.fullResponse.WriteHeader(code)
}

func (w *lastResponse) Write(b []byte) (int, error) {
	w.decide()
	return w.fullResponse.Write(b)
}

// WriteString is Write.
func (w *lastResponse) WriteString(s string) (int, error) {
	w.decide()
	return w.fullResponse.WriteString(s)
}

// ReadFrom lets io.Copy use sendfile(2).
func (w *lastResponse) ReadFrom(r io.Reader) (int64, error) {
	w.decide()
	return w.fullResponse.ReadFrom(r)
}

// Flush sends the header.
func (w *lastResponse) Flush() { _ = w.FlushError() }

// FlushError is Flush.
func (w *lastResponse) FlushError() error {
	w.decide()
	return w.fullResponse.FlushError()
}
