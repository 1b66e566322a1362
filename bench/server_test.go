package bench

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// server hands every connection that it accepts to serve, with its number, from 1.
type server struct {
	net.Listener
	quit    chan struct{} // closed when the test ends, for what hangs on purpose
	gate    chan bool     // for servers that wait to be told
	serving sync.WaitGroup
}

func serveEach(t *testing.T, serve func(s *server, c net.Conn, number int)) *server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Listener: ln, quit: make(chan struct{}), gate: make(chan bool, operations)}
	s.serving.Go(func() {
		for number := 1; ; number++ {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.serving.Go(func() {
				defer c.Close()
				serve(s, c, number)
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		close(s.quit)
		s.serving.Wait()
	})
	return s
}

func (s *server) addr() string { return s.Listener.Addr().String() }

func (s *server) target(secure bool) HTTP {
	t := HTTP{Addr: s.addr()}
	if secure {
		t.TLS = &tls.Config{ServerName: "127.0.0.1", InsecureSkipVerify: true}
	}
	return t
}

// request is an HTTP request as a server of these tests sees it.
type request struct {
	*http.Request
	body string
	op   int64     // 0 for probes, and for what warms a connection up
	wire net.Conn  // the TCP connection
	w    io.Writer // the TCP connection, or TLS on it
}

// answer writes a whole right response: the echo of a POST, "ok" otherwise.
func (r request) answer(header ...string) { r.respond(200, r.right(), header...) }

func (r request) right() string {
	if r.Method == http.MethodPost {
		return r.body
	}
	return "ok"
}

func (r request) respond(status int, body string, header ...string) {
	io.WriteString(r.w, r.response(status, body, header...))
}

func (r request) response(status int, body string, header ...string) string {
	var more strings.Builder
	for _, h := range header {
		more.WriteString(h + "\r\n")
	}
	return fmt.Sprintf("HTTP/1.1 %d Whatever\r\nContent-Length: %d\r\n%s\r\n%s", status, len(body), more.String(), body)
}

// hangUp ends the connection with RST.
func hangUp(c net.Conn) {
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

// serveHTTP hands each request to handle, which reports whether the connection goes on.
func serveHTTP(t *testing.T, secure bool, handle func(s *server, r request) bool) *server {
	t.Helper()
	certificate := selfSigned(t)
	return serveEach(t, func(s *server, wire net.Conn, _ int) {
		c := wire
		if secure {
			c = tls.Server(wire, certificate)
		}
		in := bufio.NewReader(c)
		for {
			asked, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			body, err := io.ReadAll(asked.Body)
			if err != nil {
				return
			}
			id := strings.Split(asked.Header.Get("Baton-Request-Id"), "-")
			op, err := strconv.ParseInt(id[len(id)-1], 10, 64)
			if err != nil {
				panic(err)
			}
			if !handle(s, request{asked, string(body), op, wire, c}) {
				return
			}
		}
	})
}

// serveEcho echoes, and asks flaw before each payload's echo whether to send it.
func serveEcho(t *testing.T, flaw func(s *server, c net.Conn, op int64, payload []byte) (goOn bool)) *server {
	t.Helper()
	return serveEach(t, func(s *server, c net.Conn, _ int) {
		buf := make([]byte, payloadSize)
		for {
			if _, err := io.ReadFull(c, buf); err != nil {
				return
			}
			if !flaw(s, c, opOf(buf), buf) {
				return
			}
		}
	})
}

// opOf reads the operation's number from a payload.
func opOf(payload []byte) int64 {
	_, after, ok := strings.Cut(string(payload), "/")
	number, _, ok2 := strings.Cut(after, " ")
	op, err := strconv.ParseInt(number, 10, 64)
	if !ok || !ok2 || err != nil {
		panic(errors.Join(err, fmt.Errorf("payload %q", payload)))
	}
	return op
}

var selfSigned = func() func(t *testing.T) *tls.Config {
	make := sync.OnceValues(func() (*tls.Config, error) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			return nil, err
		}
		return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, nil
	})
	return func(t *testing.T) *tls.Config {
		t.Helper()
		config, err := make()
		if err != nil {
			t.Fatal(err)
		}
		return config
	}
}()

// outcomes is how many operations ended in each way, and how many took the place of a connection closed politely.
type outcomes struct {
	by      map[Failure]int
	renewed int
}

const (
	ample = 30 * time.Second      // for what must come
	brief = 50 * time.Millisecond // for what never comes
	short = time.Microsecond      // for a wait in the middle that is only for form's sake
)

// carryOut lets one client of a lane carry out n operations, and returns what they came to.
func carryOut(t *testing.T, c Client, n int, timeout time.Duration) outcomes {
	t.Helper()
	got := outcomes{by: map[Failure]int{}}
	for seq := range n {
		r := c.Do(int64(seq+1), time.Now().Add(timeout))
		got.by[r.Failure]++
		if r.Renewed {
			got.renewed++
		}
		if (r.Err == nil) != (r.Class == OK) {
			t.Errorf("operation %d: class %s with error %v", seq+1, r.Class, r.Err)
		}
	}
	return got
}

func (got outcomes) expect(t *testing.T, by map[Failure]int, renewed int) {
	t.Helper()
	if !maps.Equal(got.by, by) {
		t.Errorf("outcomes are %v, want %v", got.by, by)
	}
	if got.renewed != renewed {
		t.Errorf("%d connections reopened, want %d", got.renewed, renewed)
	}
}

// client probes a lane and returns a client of it.
func client(t *testing.T, lane Lane) Client {
	t.Helper()
	if _, err := lane.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Not the test's own context: that one ends before the cleanups do, and breaks off what still waits.
	c := lane.Client(context.Background(), 0)
	t.Cleanup(c.Close)
	return c
}

// sometimes reports whether an operation is one of those at which the servers below misbehave: 3 of the first 10.
func sometimes(op int64) bool { return op > 0 && op%3 == 0 }

const operations, flaws = 10, 3
