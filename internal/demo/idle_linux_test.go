package demo

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// idleClient is a keep-alive connection that mostly rests.
type idleClient struct {
	c net.Conn
	r *bufio.Reader
}

// idleClients opens n connections and has each answered once. They come from several addresses of this machine, since
// one has ports for some 28,000.
func idleClients(t testing.TB, address string, n int) []*idleClient {
	t.Helper()
	clients := make([]*idleClient, n)
	each(t, n, func(i int) error {
		from := &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i/20_000))}
		d := net.Dialer{LocalAddr: from, Timeout: patience}
		c, err := d.Dial("tcp", address)
		if err != nil {
			return err
		}
		clients[i] = &idleClient{c: c, r: bufio.NewReaderSize(c, 512)}
		return clients[i].post()
	})
	t.Cleanup(func() {
		for _, c := range clients {
			c.c.Close()
		}
	})
	return clients
}

// each calls fn for 0 to n-1, some at a time.
func each(t testing.TB, n int, fn func(i int) error) {
	t.Helper()
	next := make(chan int)
	var workers sync.WaitGroup
	for range 64 {
		workers.Go(func() {
			for i := range next {
				if err := fn(i); err != nil {
					t.Errorf("connection %d: %v", i, err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	workers.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// post sends one request, once, and fails if the connection is to be closed.
func (c *idleClient) post() error {
	_ = c.c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c.c, "POST / HTTP/1.1\r\nHost: demo\r\nContent-Length: 5\r\n\r\nhello"); err != nil {
		return err
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != "hello" || resp.Close {
		return fmt.Errorf("answer %q, closes %v: %w", body, resp.Close, err)
	}
	return nil
}

// Idle connections outlive their process: each answers afterwards, and the old process need not wait for them.
func TestIdleConnectionsMove(t *testing.T) {
	const n = 2000
	p := start(t)
	clients := idleClients(t, p.http, n)
	for range 3 {
		p.upgrade() // fails if the old process does not go
		each(t, n, func(i int) error { return clients[i].post() })
	}
}

// BenchmarkIdleHandover shows what an upgrade costs with idle keep-alive connections: how long from HUP until the new
// process is in charge and until the old one has gone, and how much memory they take.
func BenchmarkIdleHandover(b *testing.B) {
	limit := raiseFileLimit()
	for _, n := range []int{1, 1_000, 10_000, 50_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			if uint64(n)+1000 > limit {
				b.Skipf("%d connections need more than the %d files that this system allows", n, limit)
			}
			p := start(b)
			clients := idleClients(b, p.http, n)
			var committed, exited time.Duration
			b.ResetTimer()
			for range b.N {
				c, e := p.upgrade()
				committed, exited = committed+c, exited+e
			}
			b.StopTimer()
			each(b, n, func(i int) error { return clients[i].post() })
			b.ReportMetric(0, "ns/op")
			perUpgrade := func(d time.Duration) float64 { return d.Seconds() * 1000 / float64(b.N) }
			b.ReportMetric(perUpgrade(committed), "ms-to-commit")
			b.ReportMetric(perUpgrade(exited), "ms-to-exit")
			b.ReportMetric(float64(n*b.N)/(exited-committed).Seconds(), "conns/s")
			b.ReportMetric(memory(b, p.pid()), "MB")
		})
	}
}
