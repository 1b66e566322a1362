//go:build unix

package upgrader_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// startStaying starts a service with listeners whose connections cannot move, over TLS and not.
func startStaying(t *testing.T, drain time.Duration) *service {
	t.Helper()
	pidFile := filepath.Join(t.TempDir(), "app.pid")
	writeCertificate(t, pidFile+".crt", pidFile+".key")
	s := startService(t, settings{
		Probation: short, PIDFile: pidFile, Drain: drain,
		Listeners: []listenerSetting{{"wrapped", "tcp", "127.0.0.1:0"}, {"secure", "tcp", "127.0.0.1:0"}},
	})
	s.awaitPhase(0, 1, "serving")
	return s
}

// sliced writes in pieces that never end where a TLS record does, and rests between them.
type sliced struct {
	net.Conn
	size int
	rest time.Duration
}

func (s sliced) Write(b []byte) (int, error) {
	written := 0
	for written < len(b) {
		end := min(written+s.size, len(b))
		if end == len(b)-1 {
			end--
		}
		if end <= written {
			end = len(b)
		}
		n, err := s.Conn.Write(b[written:end])
		written += n
		if err != nil {
			return written, err
		}
		time.Sleep(s.rest)
	}
	return written, nil
}

// batch is what a client sends on one connection before it reads an answer.
type batch struct {
	requests []string
	bodies   []string
}

func (b *batch) add(path, body, encoding string) {
	request := "GET " + path + " HTTP/1.1\r\nHost: test\r\n\r\n"
	switch encoding {
	case "length":
		request = fmt.Sprintf("POST %s HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
	case "chunks":
		half := len(body) / 2
		request = fmt.Sprintf("POST %s HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n",
			path, half, body[:half], len(body)-half, body[half:])
	}
	if path == "/ignore" {
		body = ""
	}
	b.requests, b.bodies = append(b.requests, request), append(b.bodies, body)
}

// newBatch returns n requests of one kind; mixed is one of each in turn.
func newBatch(kind string, n int) *batch {
	b := &batch{}
	for i := range n {
		body := fmt.Sprintf("request %d", i)
		switch k := []string{"GET", "POST", "chunked", "large", "ignored", "early"}[i%6]; {
		case kind == "GET", kind == "mixed" && k == "GET":
			b.add("/", "", "")
		case kind == "POST", kind == "mixed" && k == "POST":
			b.add("/", body, "length")
		case kind == "chunked", kind == "mixed" && k == "chunked":
			b.add("/", body, "chunks")
		case kind == "large", kind == "mixed" && k == "large":
			b.add("/", strings.Repeat(body, 2000), "length")
		case kind == "ignored", kind == "mixed" && k == "ignored":
			b.add("/ignore", body, "length")
		default:
			b.add("/early", body, "length")
		}
	}
	return b
}

// play sends a batch, and then requests one by one until an answer ends the connection. It returns how many those were.
func (b *batch) play(c net.Conn, write func(io.Writer, []string) error) (extra int, err error) {
	_ = c.SetDeadline(time.Now().Add(patience))
	sent := make(chan error, 1)
	go func() { sent <- write(c, b.requests) }()
	r := bufio.NewReader(c)
	for i, want := range b.bodies {
		closes, err := takeAnswer(r, want)
		if err != nil {
			return 0, fmt.Errorf("answer %d of %d: %w", i+1, len(b.bodies), err)
		}
		if closes {
			if err := <-sent; err != nil {
				return 0, err
			}
			if i < len(b.bodies)-1 {
				return 0, fmt.Errorf("answer %d of %d ends the connection", i+1, len(b.bodies))
			}
			return 0, nil
		}
	}
	if err := <-sent; err != nil && err != errStalled {
		return 0, err
	}
	for extra = 1; extra <= 20; extra++ {
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: test\r\n\r\n"); err != nil {
			return extra, err
		}
		if closes, err := takeAnswer(r, ""); closes || err != nil {
			return extra, err
		}
	}
	return extra, fmt.Errorf("no answer ends the connection")
}

// warmUp pipelines, so that the service knows the client for it.
func warmUp(t *testing.T, c net.Conn, r *bufio.Reader) {
	t.Helper()
	fmt.Fprint(c, strings.Repeat("GET / HTTP/1.1\r\nHost: test\r\n\r\n", 4))
	for range 4 {
		if closes, err := takeAnswer(r, ""); closes || err != nil {
			t.Fatalf("closes %v, %v", closes, err)
		}
	}
}

func takeAnswer(r *bufio.Reader, want string) (closes bool, err error) {
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return false, err
	}
	got, err := io.ReadAll(resp.Body)
	if err != nil || string(got) != want || resp.StatusCode != http.StatusOK || resp.Header.Get("Generation") != "1" {
		return false, fmt.Errorf("%s from generation %s with %d bytes, want %d: %w",
			resp.Status, resp.Header.Get("Generation"), len(got), len(want), err)
	}
	return resp.Close, nil
}

// errStalled says that the machine was too busy for the test's client to be one that pipelines.
var errStalled = errors.New("a client stalled")

var writings = map[string]func(io.Writer, []string) error{
	"at once": func(w io.Writer, requests []string) error {
		_, err := io.WriteString(w, strings.Join(requests, ""))
		return err
	},
	"one by one": func(w io.Writer, requests []string) error {
		stalled := false
		for last, i := time.Now(), 0; i < len(requests); i++ {
			if _, err := io.WriteString(w, requests[i]); err != nil {
				return err
			}
			stalled, last = stalled || i > 0 && time.Since(last) > 10*time.Millisecond, time.Now()
		}
		if stalled {
			return errStalled
		}
		return nil
	},
	"by the half": func(w io.Writer, requests []string) error { // each ends in a piece with the beginning of the next
		text := requests[0]
		for _, r := range requests[1:] {
			half := len(r) / 2
			if _, err := io.WriteString(w, text+r[:half]); err != nil {
				return err
			}
			text = r[half:]
		}
		_, err := io.WriteString(w, text)
		return err
	},
}

// Whatever has arrived is answered by the process that is replaced, and only the last answer ends the connection.
func TestPipelinedRequestsAreAnsweredByTheOld(t *testing.T) {
	t.Parallel()
	s := startStaying(t, patience)
	type play struct {
		name string
		conn net.Conn
		b    *batch
		how  func(io.Writer, []string) error
	}
	var plays []play
	for _, n := range []int{1, 2, 3, 4, 17, 100} {
		for _, kind := range []string{"GET", "POST", "chunked", "large", "ignored", "early", "mixed"} {
			for way, how := range writings {
				for _, over := range []string{"wrapped", "secure", "secure in pieces"} {
					if n > 4 && kind == "large" || n > 20 && way != "at once" {
						continue // enough is enough
					}
					raw, err := net.Dial("tcp", s.address(strings.TrimSuffix(over, " in pieces")))
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { raw.Close() })
					c := raw
					if over != "wrapped" {
						if over != "secure" {
							raw = sliced{raw, 1 + 997*n, 200 * time.Microsecond}
						}
						c = tls.Client(raw, insecure)
					}
					r := bufio.NewReader(c)
					s.ask(c, r)
					if way == "one by one" { // then it has to be known to pipeline
						warmUp(t, c, r)
					}
					plays = append(plays, play{fmt.Sprintf("%d %s %s, %s", n, kind, way, over), c, newBatch(kind, n), how})
				}
			}
		}
	}
	s.upgrade(2)
	s.awaitPhase(0, 1, "draining")
	turns := make(chan struct{}, 8)
	var all sync.WaitGroup
	var atOnce, later atomic.Int64
	for _, p := range plays {
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			extra, err := p.b.play(p.conn, p.how)
			switch {
			case err == errStalled:
				t.Logf("%s: %v", p.name, err)
			case err != nil:
				t.Errorf("%s: %v", p.name, err)
			case extra == 0:
				atOnce.Add(1)
			default:
				later.Add(1)
			}
		})
	}
	all.Wait()
	t.Logf("%d ended with the batch, %d later", atOnce.Load(), later.Load())
	if atOnce.Load() == 0 {
		t.Error("no connection ended with the last answer of its batch")
	}
	s.awaitPhase(0, 1, "exited")
}

// A client that never pauses is told to go before the drain ends.
func TestPipeliningForeverEnds(t *testing.T) {
	t.Parallel()
	s := startStaying(t, 2*time.Second)
	for _, over := range []string{"wrapped", "secure"} {
		raw, err := net.Dial("tcp", s.address(over))
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		c := raw
		if over == "secure" {
			c = tls.Client(raw, insecure)
		}
		_ = c.SetDeadline(time.Now().Add(patience))
		const window = 8
		text := "GET / HTTP/1.1\r\nHost: test\r\n\r\n"
		if _, err := io.WriteString(c, strings.Repeat(text, window)); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() {
			for r, n := bufio.NewReader(c), 0; ; n++ {
				closes, err := takeAnswer(r, "")
				if closes && n <= window {
					err = fmt.Errorf("answer %d ends the connection", n)
				}
				if closes || err != nil {
					ended <- err
					return
				}
				_, _ = io.WriteString(c, text)
			}
		}()
		defer func() {
			if err := <-ended; err != nil {
				t.Errorf("%s: %v", over, err)
			}
			c.Close()
			s.awaitPhase(0, 1, "exited")
		}()
	}
	s.upgrade(2)
}

// What the program sees of a request, and can do with a response, is the same when the connection is to end.
func TestLastResponseIsLikeAnyOther(t *testing.T) {
	t.Parallel()
	s := startStaying(t, patience)
	dial := func() (net.Conn, *bufio.Reader) {
		c, err := tls.Dial("tcp", s.address("secure"), insecure)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		r := bufio.NewReader(c)
		s.ask(c, r)
		_ = c.SetDeadline(time.Now().Add(patience))
		return c, r
	}
	expects, expectsR := dial()
	hijacked, hijackedR := dial()
	streams, streamsR := dial()
	pipelines, pipelinesR := dial()
	warmUp(t, pipelines, pipelinesR)
	s.upgrade(2)
	s.awaitPhase(0, 1, "draining")

	fmt.Fprint(expects, "POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
	if resp, err := http.ReadResponse(expectsR, nil); err != nil || resp.StatusCode != http.StatusContinue {
		t.Fatalf("100-continue: %v, %v", resp, err)
	}
	fmt.Fprint(expects, "hello")
	if _, err := takeAnswer(expectsR, "hello"); err != nil {
		t.Errorf("100-continue: %v", err)
	}
	expects.Close()

	fmt.Fprint(hijacked, "GET /hijack HTTP/1.1\r\nHost: test\r\n\r\nhi") // without a header to say so
	if resp, err := http.ReadResponse(hijackedR, nil); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("hijacked: %v, %v", resp, err)
	}
	if got := make([]byte, 2); true {
		if _, err := io.ReadFull(hijackedR, got); err != nil || !bytes.Equal(got, []byte("hi")) {
			t.Errorf("hijacked: %q, %v", got, err)
		}
	}
	hijacked.Close()

	stream := func(c net.Conn, r *bufio.Reader, closes bool) {
		t.Helper()
		fmt.Fprint(c, "POST /slow HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n")
		resp, err := http.ReadResponse(r, nil) // before there is a body, which could hide a request behind it
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, "5\r\nhello\r\n0\r\n\r\n")
		if got, err := io.ReadAll(resp.Body); err != nil || string(got) != "hello" || resp.Close != closes {
			t.Errorf("streamed: %q, %v, closes %v", got, err, resp.Close)
		}
	}
	stream(streams, streamsR, true)
	stream(pipelines, pipelinesR, false)
	if a := s.ask(pipelines, pipelinesR); a.generation != 1 || !a.closes {
		t.Errorf("%+v", a)
	}
	s.awaitPhase(0, 1, "exited")
}
