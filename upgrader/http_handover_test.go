package upgrader

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// tellGeneration answers with the generation, and the body it was sent.
func tellGeneration(generation int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Generation", strconv.Itoa(generation))
		_, _ = io.Copy(w, r.Body)
	})
}

// answer reads a response, and returns which generation gave it.
func readGeneration(t *testing.T, r *bufio.Reader) int {
	t.Helper()
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.Close {
		t.Fatalf("close: %v, %v", resp.Close, err)
	}
	generation, _ := strconv.Atoi(resp.Header.Get("Generation"))
	return generation
}

func ask(t *testing.T, c net.Conn, r *bufio.Reader) int {
	t.Helper()
	write(t, c, getRequest)
	return readGeneration(t, r)
}

// What is left of a connection's idle time goes along with it, however often it moves.
func TestIdleTimeMoves(t *testing.T) {
	t.Parallel()
	const idle = 600 * time.Millisecond
	for name, timeouts := range map[string]*http.Server{
		"IdleTimeout":                  {IdleTimeout: idle}, // net/http sets no deadline for the first request
		"ReadTimeout":                  {ReadTimeout: idle}, // net/http takes it for the other two
		"and a longer header timeout":  {IdleTimeout: idle, ReadHeaderTimeout: time.Hour},
		"and a shorter header timeout": {IdleTimeout: idle, ReadHeaderTimeout: idle / 10},
	} {
		for _, speaks := range []bool{true, false} {
			if !speaks && timeouts.ReadTimeout == 0 {
				continue // it has no time limit, or another one
			}
			t.Run(fmt.Sprintf("%s, spoken %v", name, speaks), func(t *testing.T) {
				t.Parallel()
				r := newRing(t, func(generation int) *http.Server {
					return &http.Server{
						Handler: tellGeneration(generation), IdleTimeout: timeouts.IdleTimeout,
						ReadTimeout: timeouts.ReadTimeout, ReadHeaderTimeout: timeouts.ReadHeaderTimeout,
					}
				})
				c := r.dial()
				begin := time.Now()
				if speaks {
					ask(t, c, bufio.NewReader(c))
				}
				since := time.Now()
				r.rest(c)
				for range 5 {
					time.Sleep(idle / 10) // of its idle time
					r.flip()
				}
				_, err := c.Read(make([]byte, 1))
				if took := time.Since(begin); !errors.Is(err, io.EOF) || took < idle {
					t.Errorf("%v after %v, want the end after %v", err, took, idle)
				}
				if took := time.Since(since); took > 2*idle {
					t.Errorf("its idle time began anew: closed after %v", took)
				}
			})
		}
	}
}

// Time that a connection was idle does not count against the request that ends it.
func TestFirstRequestAfterMoveHasItsTime(t *testing.T) {
	t.Parallel()
	const limit = 500 * time.Millisecond
	handler := func(generation int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "PUT" { // a deadline of the program's own
				begin := time.Now()
				_ = http.NewResponseController(w).SetReadDeadline(begin.Add(limit / 5))
				_, err := io.Copy(io.Discard, r.Body)
				if took := time.Since(begin); !errors.Is(err, os.ErrDeadlineExceeded) || took > limit {
					t.Errorf("the program's deadline: %v after %v", err, took)
				}
				return
			}
			tellGeneration(generation).ServeHTTP(w, r)
		})
	}
	r := newRing(t, func(generation int) *http.Server {
		return &http.Server{
			Handler: handler(generation), ReadTimeout: limit, ReadHeaderTimeout: limit / 2, WriteTimeout: limit, IdleTimeout: time.Hour,
		}
	})
	moved := func() (net.Conn, *bufio.Reader) {
		c := r.dial()
		b := bufio.NewReader(c)
		ask(t, c, b)
		r.rest(c)
		return c, b
	}
	whole, wholeR := moved()
	head, headR := moved()
	body, bodyR := moved()
	own, ownR := moved()
	r.flip()
	time.Sleep(limit + limit/2) // longer than either

	if got := ask(t, whole, wholeR); got != 1 {
		t.Errorf("generation %d", got)
	}
	var all sync.WaitGroup
	ends := func(what string, c net.Conn, b *bufio.Reader, text string, within time.Duration) {
		all.Go(func() {
			begin := time.Now()
			write(t, c, text)
			_, _ = io.Copy(io.Discard, b)
			took := time.Since(begin)
			if took < within-10*time.Millisecond || took > within+limit {
				t.Errorf("%s: closed after %v, want %v", what, took, within)
			}
		})
	}
	ends("half a head", head, headR, getRequest[:10], limit/2)
	ends("half a body", body, bodyR, postRequest[:len(postRequest)-2], limit)
	ends("the program's deadline", own, ownR, "PUT"+postRequest[4:len(postRequest)-2], limit/5)
	all.Wait()
}

// hooks counts what the program is told of its connections.
type hooks struct {
	mu     sync.Mutex
	states [2]map[http.ConnState]int
	conns  [2]int
	ended  *sync.Cond
}

type hookKey struct{}

func TestHooksOfTheProgram(t *testing.T) {
	t.Parallel()
	h := &hooks{states: [2]map[http.ConnState]int{{}, {}}}
	h.ended = sync.NewCond(&h.mu)
	r := newRing(t, func(generation int) *http.Server {
		return &http.Server{
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Context().Value(hookKey{}) != fmt.Sprintf("base %d conn", generation) {
					t.Errorf("context has %v", r.Context().Value(hookKey{}))
				}
				tellGeneration(generation).ServeHTTP(w, r)
			}),
			ConnState: func(c net.Conn, s http.ConnState) {
				_ = c.RemoteAddr().String() // programs take it for granted
				h.mu.Lock()
				defer h.mu.Unlock()
				h.states[generation][s]++
				h.ended.Broadcast()
			},
			BaseContext: func(ln net.Listener) context.Context {
				_ = ln.Addr().String()
				return context.WithValue(context.Background(), hookKey{}, fmt.Sprintf("base %d", generation))
			},
			ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
				h.mu.Lock()
				h.conns[generation]++
				h.mu.Unlock()
				return context.WithValue(ctx, hookKey{}, fmt.Sprint(ctx.Value(hookKey{}), " conn"))
			},
		}
	})
	c := r.dial()
	b := bufio.NewReader(c)
	for i := range 10 { // five times each
		if got := ask(t, c, b); got != i%2 {
			t.Fatalf("generation %d answers", got)
		}
		r.rest(c)
		r.flip()
	}
	c.Close()
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.states[0][http.StateClosed] < 6 || h.states[1][http.StateClosed] < 5 { // the last flip brought it to the first
		h.ended.Wait()
	}
	for generation, want := range []map[http.ConnState]int{
		{http.StateNew: 6, http.StateActive: 5, http.StateIdle: 5, http.StateClosed: 6},
		{http.StateNew: 5, http.StateActive: 5, http.StateIdle: 5, http.StateClosed: 5},
	} {
		if got := h.states[generation]; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("generation %d was told %v, want %v", generation, got, want)
		}
		if got := h.conns[generation]; got != want[http.StateNew] {
			t.Errorf("generation %d: ConnContext was called %d times", generation, got)
		}
	}
}

// What a client does while its connection is on its way: whatever happens, nothing stays counted.
func TestClientLeavesWhileBeingMoved(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*net.TCPConn){
		"closes":      func(c *net.TCPConn) { c.Close() },
		"resets":      func(c *net.TCPConn) { _ = c.SetLinger(0); c.Close() },
		"half-closes": func(c *net.TCPConn) { _ = c.CloseWrite() },
		"asks and closes": func(c *net.TCPConn) {
			_, _ = io.WriteString(c, getRequest)
			c.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRing(t, func(generation int) *http.Server {
				return &http.Server{Handler: tellGeneration(generation), ConnState: func(c net.Conn, _ http.ConnState) {
					_ = c.RemoteAddr().String()
				}}
			})
			for range 100 {
				c := r.dial().(*net.TCPConn)
				ask(t, c, bufio.NewReader(c))
				r.rest(c)
				var both sync.WaitGroup
				both.Go(func() { leave(c) })
				r.flip()
				both.Wait()
				r.flip()
			}
			deadline := time.Now().Add(10 * time.Second)
			for r.counted() > 0 {
				if time.Now().After(deadline) {
					t.Fatalf("%d connections are still counted", r.counted())
				}
				time.Sleep(time.Millisecond)
			}
			for i, g := range r.gens {
				h := g.u.servers.all[g.srv]
				h.mu.Lock()
				if len(h.conns) > 0 {
					t.Errorf("generation %d remembers %d connections", i, len(h.conns))
				}
				h.mu.Unlock()
			}
		})
	}
}

// A client that asks while its connection moves is answered, once, wherever.
func TestRequestsWhileBeingMoved(t *testing.T) {
	t.Parallel()
	var served atomic.Int64
	r := newRing(t, func(generation int) *http.Server {
		return &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			served.Add(1)
			tellGeneration(generation).ServeHTTP(w, r)
		})}
	})
	const clients, requests = 8, 200
	quit, flipped := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for ; ; n++ {
			select {
			case <-quit:
				flipped <- n
				return
			default:
				r.flip()
			}
		}
	}()
	var all sync.WaitGroup
	for range clients {
		c := r.dial()
		all.Go(func() {
			b := bufio.NewReader(c)
			for range requests {
				if _, err := io.WriteString(c, postRequest); err != nil {
					t.Error(err)
					return
				}
				resp, err := http.ReadResponse(b, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if body, err := io.ReadAll(resp.Body); string(body) != "hello" || err != nil {
					t.Errorf("%q, %v", body, err)
				}
			}
		})
	}
	all.Wait()
	close(quit)
	if n := <-flipped; n < 20 {
		t.Errorf("only %d flips", n)
	}
	if got := served.Load(); got != clients*requests {
		t.Errorf("%d requests were served, of %d", got, clients*requests)
	}
}

// A hijacked connection is the program's: it stays, works, and its own deadlines mean what they say.
func TestHijackedStays(t *testing.T) {
	t.Parallel()
	r := newRing(t, func(generation int) *http.Server {
		mux := http.NewServeMux()
		mux.Handle("/", tellGeneration(generation))
		mux.HandleFunc("/echo", func(w http.ResponseWriter, _ *http.Request) {
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			_, _ = io.Copy(c, io.LimitReader(rw, 4))
			begin := time.Now()
			_ = c.SetReadDeadline(begin.Add(50 * time.Millisecond))
			if _, err := rw.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) > time.Second {
				t.Errorf("a deadline of 50ms: %v after %v", err, time.Since(begin))
			}
			_, _ = io.WriteString(c, "bye")
		})
		return &http.Server{Handler: mux}
	})
	c := r.dial()
	ask(t, c, bufio.NewReader(c))
	r.flip()
	time.Sleep(1100 * time.Millisecond) // what would be added to the deadline, if it were
	write(t, c, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\nec")
	buf := make([]byte, 7)
	if _, err := io.ReadFull(c, buf[:2]); err != nil {
		t.Fatal(err)
	}
	r.flip()
	write(t, c, "ho")
	if _, err := io.ReadFull(c, buf[2:]); err != nil || string(buf) != "echobye" {
		t.Errorf("%q, %v", buf, err)
	}
}
