package upgrader

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// spyConn writes down what net/http does with a connection. Its client is the other end of a pipe: one Write there is
// one Read here.
type spyConn struct {
	net.Conn

	mu     sync.Mutex
	news   *sync.Cond
	events []string
	until  []time.Time // of the read deadlines
}

func newSpy(c net.Conn) *spyConn {
	s := &spyConn{Conn: c}
	s.news = sync.NewCond(&s.mu)
	return s
}

func (s *spyConn) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, fmt.Sprintf(format, args...))
	s.news.Broadcast()
}

func (s *spyConn) Read(b []byte) (int, error) {
	s.note("read %d", len(b))
	return s.Conn.Read(b)
}

func (s *spyConn) Write(b []byte) (int, error) {
	s.note("write")
	return s.Conn.Write(b)
}

func (s *spyConn) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	s.until = append(s.until, t)
	s.mu.Unlock()
	s.note("deadline")
	return s.Conn.SetReadDeadline(t)
}

func (s *spyConn) SetDeadline(t time.Time) error {
	s.note("both deadlines")
	return s.Conn.SetDeadline(t)
}

// await waits until the events after the nth occurrence of one are as wanted, and tells whether they began otherwise.
func (s *spyConn) await(t *testing.T, after string, nth int, want ...string) {
	t.Helper()
	timer := time.AfterFunc(10*time.Second, func() { s.note("timeout") })
	defer timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		seen, rest := 0, []string(nil)
		for i, e := range s.events {
			if e == after {
				if seen++; seen == nth {
					rest = s.events[i+1:]
					break
				}
			}
		}
		if seen == nth && len(rest) >= len(want) {
			if !slices.Equal(rest[:len(want)], want) {
				t.Errorf("after %q: %q, want %q", after, rest, want)
			}
			return
		}
		if slices.Contains(s.events, "timeout") {
			t.Fatalf("after %q never came %q, only %q", after, want, s.events)
		}
		s.news.Wait()
	}
}

func (s *spyConn) has(event string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.events, event)
}

// spied serves one connection, and returns it and its client.
func spied(t *testing.T, srv *http.Server) (*spyConn, net.Conn) {
	t.Helper()
	client, theirs := net.Pipe()
	spy := newSpy(theirs)
	if srv.Handler == nil {
		srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	}
	srv.ErrorLog = log.New(io.Discard, "", 0)
	srv.ConnState = func(_ net.Conn, s http.ConnState) { spy.note("%s", s) }
	ln := newGiven(theirs.LocalAddr())
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(ln)
	}()
	t.Cleanup(func() {
		client.Close()
		srv.Close()
		<-served
	})
	ln.conns <- spy
	_ = client.SetDeadline(time.Now().Add(10 * time.Second))
	return spy, client
}

const (
	getRequest  = "GET / HTTP/1.1\r\nHost: spy\r\n\r\n"
	postRequest = "POST / HTTP/1.1\r\nHost: spy\r\nContent-Length: 5\r\n\r\nhello"
)

func write(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// This is what movable.go relies on. Where a release of Go differs, connections must stop to move until it is understood.
func TestNetHTTPWaitsAsAssumed(t *testing.T) {
	t.Parallel()
	servers := map[string]func() *http.Server{
		"no timeouts":  func() *http.Server { return &http.Server{} },
		"ReadTimeout":  func() *http.Server { return &http.Server{ReadTimeout: time.Hour} },
		"all timeouts": func() *http.Server { return allTimeouts() },
		"IdleTimeout":  func() *http.Server { return &http.Server{IdleTimeout: time.Hour} },
		"header limit": func() *http.Server { return &http.Server{MaxHeaderBytes: 1} },
		"WriteTimeout": func() *http.Server { return &http.Server{WriteTimeout: time.Hour} },
		"ReadHeaderTimeout": func() *http.Server {
			return &http.Server{ReadHeaderTimeout: time.Hour}
		},
	}
	for name, server := range servers {
		t.Run(name, func(t *testing.T) { testWaits(t, server) })
	}
}

func allTimeouts() *http.Server {
	return &http.Server{ReadTimeout: time.Hour, ReadHeaderTimeout: time.Minute, IdleTimeout: 2 * time.Hour, WriteTimeout: time.Hour}
}

func testWaits(t *testing.T, server func() *http.Server) {
	for _, request := range []string{getRequest, postRequest} {
		method := request[:strings.IndexByte(request, ' ')]
		for _, pipelined := range []int{0, 1, 2, 3} {
			t.Run(fmt.Sprintf("%s and %d bytes", method, pipelined), func(t *testing.T) {
				spy, client := spied(t, server())
				go io.Copy(io.Discard, client)
				write(t, client, request+getRequest[:pipelined])
				spy.await(t, "idle", 1, "deadline", fmt.Sprintf("read %d", wholeBuffer-pipelined))
				// And once more, after one that came in two pieces.
				write(t, client, getRequest[pipelined:])
				spy.await(t, "idle", 2, "deadline", fmt.Sprintf("read %d", wholeBuffer))
			})
		}
		for _, pipelined := range []int{4, 10, len(getRequest) - 1} {
			t.Run(fmt.Sprintf("%s and %d bytes", method, pipelined), func(t *testing.T) {
				spy, client := spied(t, server())
				go io.Copy(io.Discard, client)
				write(t, client, request+getRequest[:pipelined])
				spy.await(t, "idle", 1, "deadline", "deadline") // no Read between them
			})
		}
	}
	t.Run("a byte that the background read takes", func(t *testing.T) {
		srv := server()
		goOn := make(chan struct{})
		srv.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-goOn })
		spy, client := spied(t, srv)
		go io.Copy(io.Discard, client)
		write(t, client, getRequest)
		spy.await(t, "active", 1, "deadline", "read 1")
		write(t, client, getRequest[:1])
		close(goOn)
		spy.await(t, "idle", 1, "deadline", fmt.Sprintf("read %d", wholeBuffer-1))
	})
	t.Run("active after the whole head", func(t *testing.T) {
		spy, client := spied(t, server())
		go io.Copy(io.Discard, client)
		write(t, client, getRequest[:10])
		spy.await(t, fmt.Sprintf("read %d", wholeBuffer), 1, fmt.Sprintf("read %d", wholeBuffer-10))
		if spy.has("active") {
			t.Error("active before the head is there")
		}
		write(t, client, getRequest[10:])
		spy.await(t, fmt.Sprintf("read %d", wholeBuffer-10), 1, "deadline", "active") // the request's deadline comes before
	})
	t.Run("an end at rest says nothing", func(t *testing.T) {
		for _, before := range []string{"", getRequest, postRequest, postRequest + "\r\n"} {
			spy, client := spied(t, server())
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				if before != "" {
					_, _ = client.Read(make([]byte, 4096))
				}
			}()
			if before == "" {
				spy.await(t, "new", 1)
			} else {
				write(t, client, before)
				<-answered
				spy.await(t, "idle", 1, "deadline")
			}
			client.Close() // its Read returns io.EOF
			spy.await(t, "closed", 1)
			spy.mu.Lock()
			writes := 0
			for _, e := range spy.events {
				if e == "write" {
					writes++
				}
			}
			spy.mu.Unlock()
			if want := min(len(before), 1); writes != want {
				t.Errorf("after %q: %d writes, want %d", before, writes, want)
			}
		}
	})
}

// A connection from the parent is a new one for net/http: how it sets the deadlines of the first request matters.
func TestNetHTTPDeadlinesOfANewConnection(t *testing.T) {
	t.Parallel()
	first := fmt.Sprintf("read %d", wholeBuffer)
	for name, test := range map[string]struct {
		srv  *http.Server
		want []string
	}{
		"none":              {&http.Server{IdleTimeout: time.Hour}, []string{first}},
		"ReadHeaderTimeout": {&http.Server{ReadHeaderTimeout: time.Minute}, []string{"deadline", first}},
		"ReadTimeout":       {&http.Server{ReadTimeout: time.Minute}, []string{"deadline", first}},
	} {
		t.Run(name, func(t *testing.T) {
			checked := make(chan struct{}) // the request lasts until then: what follows has deadlines of its own
			test.srv.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-checked })
			accepted := time.Now()
			spy, client := spied(t, test.srv)
			defer close(checked)
			go io.Copy(io.Discard, client)
			spy.await(t, "new", 1, test.want...)
			waited := time.Now() // from here on, what net/http sets was computed before
			write(t, client, getRequest)
			spy.await(t, "active", 1)
			spy.mu.Lock()
			defer spy.mu.Unlock()
			for _, d := range spy.until {
				if !d.IsZero() && d.After(time.Unix(1e6, 0)) && (d.Before(accepted.Add(time.Minute)) || d.After(waited.Add(time.Minute))) {
					t.Errorf("a deadline that does not count from the beginning: %v", d.Sub(accepted))
				}
			}
		})
	}
	t.Run("h2c", func(t *testing.T) {
		srv := &http.Server{Protocols: new(http.Protocols)}
		srv.Protocols.SetHTTP1(true)
		srv.Protocols.SetUnencryptedHTTP2(true)
		spy, _ := spied(t, srv)
		spy.await(t, "new", 1, "read 14") // so that any first Read has to do
	})
}

func TestNetHTTPHijacks(t *testing.T) {
	t.Parallel()
	conns := make(chan net.Conn, 1)
	spy, client := spied(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
		}
		conns <- c
	})})
	write(t, client, getRequest)
	c := <-conns
	spy.await(t, "both deadlines", 1, "hijacked")
	c.Close()
	if spy.has("closed") || spy.has("idle") {
		t.Errorf("%q", spy.events)
	}
}

func TestWaitsAsAssumed(t *testing.T) {
	t.Parallel()
	if !waitsAsAssumed() {
		t.Error("connections do not move with this release of Go")
	}
	silent := &http.Server{}
	silent.SetKeepAlivesEnabled(false)
	if checkWaits(silent) {
		t.Error("a server that closes after each request waits as assumed")
	}
}

func BenchmarkWaitsAsAssumed(b *testing.B) {
	for b.Loop() {
		if !checkWaits(new(http.Server)) {
			b.Fatal(errors.New("not as assumed"))
		}
	}
}
