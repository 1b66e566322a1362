package relay

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func drawShape(t *rapid.T, name string) shape {
	return shape{
		chunk: rapid.OneOf(rapid.IntRange(1, 100), rapid.IntRange(1000, 300_000)).Draw(t, name+" chunk"),
		every: rapid.SampledFrom([]int{0, 0, 100_000, 1_000_000}).Draw(t, name+" every"),
		pause: time.Duration(rapid.IntRange(0, 3).Draw(t, name+" pause")) * time.Millisecond,
	}
}

// drawSize keeps small chunks from taking for ever.
func drawSize(t *rapid.T, name string, w, r shape) int64 {
	most := min(4<<20, 2000*min(w.chunk, r.chunk))
	return int64(rapid.IntRange(0, most).Draw(t, name))
}

func TestBytesArriveAsSent(t *testing.T) {
	e := newEngine(t)
	rapid.Check(t, func(rt *rapid.T) {
		var client, server conn
		var a, b net.Conn
		client, a = dial(t)
		b, server = dial(t)
		if rapid.Bool().Draw(rt, "unix") {
			b, server = dialUnix(t)
		}
		cfg, end := bound()
		r, err := e.Relay(a, b, cfg)
		if err != nil {
			rt.Fatal(err)
		}
		upW, upR := drawShape(rt, "client writes"), drawShape(rt, "server reads")
		downW, downR := drawShape(rt, "server writes"), drawShape(rt, "client reads")
		upSize, downSize := drawSize(rt, "up", upW, upR), drawSize(rt, "down", downW, downR)
		up := transfer(client, server, 1, upW, upR, upTo(upSize))
		down := transfer(server, client, 2, downW, downR, upTo(downSize))
		for _, done := range []<-chan error{up, down} {
			if err := <-done; err != nil {
				rt.Error(err)
			}
		}
		client.Close()
		server.Close()
		res := end(t)
		if res.Err != nil || res.Up != uint64(upSize) || res.Down != uint64(downSize) {
			rt.Errorf("ended with %+v, want %d up and %d down", res, upSize, downSize)
		}
		if st := r.Stats(); st != res.Stats {
			rt.Errorf("Stats is %+v, OnEnd had %+v", st, res.Stats)
		}
	})
}

func TestEchoSendsBackWhatItGot(t *testing.T) {
	e := newEngine(t)
	rapid.Check(t, func(rt *rapid.T) {
		client, a := dial(t)
		cfg, end := bound()
		if _, err := e.Echo(a, cfg); err != nil {
			rt.Fatal(err)
		}
		w, r := drawShape(rt, "writes"), drawShape(rt, "reads")
		size := drawSize(rt, "size", w, r)
		if err := <-transfer(client, client, 3, w, r, upTo(size)); err != nil {
			rt.Error(err)
		}
		client.Close()
		if res := end(t); res.Err != nil || res.Up != uint64(size) || res.Down != 0 {
			rt.Errorf("ended with %+v, want %d bytes", res, size)
		}
	})
}

func TestOneDirectionGoesOnAfterTheOtherHasEnded(t *testing.T) {
	e := newEngine(t)
	for _, first := range []string{"client", "server"} {
		cfg, end := bound()
		one, other, _ := start(t, e, cfg)
		if first == "server" {
			one, other = other, one
		}
		one.CloseWrite()
		if b, err := io.ReadAll(other); err != nil || len(b) > 0 {
			t.Errorf("%s ended first: the other side read %q, %v", first, b, err)
		}
		if err := <-transfer(other, one, 4, shape{chunk: 5000}, shape{chunk: 5000}, upTo(1<<20)); err != nil {
			t.Errorf("%s ended first: %v", first, err)
		}
		if res := end(t); res.Err != nil {
			t.Errorf("%s ended first: %v", first, res.Err)
		}
	}
}

// fill writes until the relay takes no more, and returns how much that was.
func fill(t testing.TB, w net.Conn) int64 {
	t.Helper()
	var n int64
	buf := make([]byte, 64<<10)
	for {
		w.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
		m, err := w.Write(buf)
		n += int64(m)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if n > 1<<30 {
			t.Fatal("no backpressure")
		}
	}
	w.SetWriteDeadline(time.Time{})
	return n
}

func TestAReaderThatStallsStopsTheWriter(t *testing.T) {
	e := newEngine(t)
	cfg, end := bound()
	client, server, _ := start(t, e, cfg)
	sent := fill(t, client)
	client.CloseWrite()
	server.CloseWrite()
	if n, err := io.Copy(io.Discard, server); n != sent || err != nil {
		t.Errorf("%d bytes arrived, %v; %d were sent", n, err, sent)
	}
	if res := end(t); res.Err != nil || res.Up != uint64(sent) {
		t.Errorf("ended with %+v", res)
	}
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		err != nil && strings.Contains(err.Error(), "forcibly closed")
}

func TestAResetIsPassedOn(t *testing.T) {
	e := newEngine(t)
	for _, c := range []struct {
		name string
		do   func(client, server *net.TCPConn)
	}{
		{"at rest", func(_, _ *net.TCPConn) {}},
		{"while the other side does not read", func(client, _ *net.TCPConn) { fill(t, client) }},
		{"after the other side's end", func(client, server *net.TCPConn) {
			server.CloseWrite()
			io.ReadAll(client)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, end := bound()
			client, server, _ := start(t, e, cfg)
			c.do(client, server)
			client.SetLinger(0)
			client.Close()
			if _, err := io.Copy(io.Discard, server); !isReset(err) {
				t.Errorf("the server sees %v", err)
			}
			if res := end(t); !isReset(res.Err) || !strings.Contains(res.Err.Error(), "client") {
				t.Errorf("the relay ended with %v", res.Err)
			}
		})
	}
}

// A server that answers and hangs up while the client still sends makes its own kernel send a reset.
func TestWhatWasSentBeforeAResetIsDelivered(t *testing.T) {
	e := newEngine(t)
	cfg, end := bound()
	client, server, _ := start(t, e, cfg)
	client.Write([]byte("a request that nobody reads"))
	server.SetReadDeadline(time.Now().Add(10 * time.Second))
	one := make([]byte, 1)
	server.Read(one)
	server.Write([]byte("no"))
	server.Close()
	answer := make([]byte, 2)
	if _, err := io.ReadFull(client, answer); err != nil || string(answer) != "no" {
		t.Errorf("read %q, %v", answer, err)
	}
	if res := end(t); !isReset(res.Err) {
		t.Errorf("the relay ended with %v", res.Err)
	}
}

func TestConnectAndVanish(t *testing.T) {
	e := newEngine(t)
	const n = 300
	ended := make(chan error, n)
	for i := range n {
		client, a := dial(t)
		b, server := dial(t)
		switch i % 4 {
		case 0:
			client.Close()
		case 1:
			client.SetLinger(0)
			client.Close()
		case 2:
			server.SetLinger(0)
			client.Write([]byte("x"))
			server.Close()
		}
		if _, err := e.Relay(a, b, Config{OnEnd: func(r Result) { ended <- r.Err }}); err != nil {
			t.Fatal(err)
		}
		client.Close()
		server.Close()
	}
	late := time.After(10 * time.Second)
	for i := range n {
		select {
		case err := <-ended:
			if err == ErrAborted {
				t.Error(err)
			}
		case <-late:
			t.Fatalf("%d relays of %d ended", i, n)
		}
	}
}

func TestAbortResetsBothSides(t *testing.T) {
	e := newEngine(t)
	cfg, end := bound()
	client, server, r := start(t, e, cfg)
	if rs := e.Relays(); len(rs) != 1 || rs[0] != r || e.Len() != 1 {
		t.Errorf("the engine has %v, %d", rs, e.Len())
	}
	r.Abort()
	for _, c := range []*net.TCPConn{client, server} {
		if _, err := c.Read(make([]byte, 1)); !isReset(err) {
			t.Errorf("read %v", err)
		}
	}
	if res := end(t); res.Err != ErrAborted {
		t.Error(res.Err)
	}
	r.Abort()
	if n := e.Len(); n != 0 {
		t.Errorf("%d relays left", n)
	}
}

func TestIdleTimeout(t *testing.T) {
	e := newEngine(t)
	cfg, end := bound()
	cfg.IdleTimeout = 300 * time.Millisecond
	client, server, _ := start(t, e, cfg)
	var last time.Time
	for range 5 {
		last = time.Now()
		client.Write([]byte("x"))
		io.ReadFull(server, make([]byte, 1))
		time.Sleep(cfg.IdleTimeout / 2)
	}
	for _, c := range []*net.TCPConn{client, server} {
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("read %v", err)
		}
	}
	if d := time.Since(last); d < cfg.IdleTimeout {
		t.Errorf("ended %v after the last byte", d)
	}
	if res := end(t); res.Err != ErrIdle || res.Up != 5 {
		t.Errorf("ended with %+v", res)
	}
}

func TestIdleTimeoutResetsWhileBytesAreStuck(t *testing.T) {
	e := newEngine(t)
	cfg, end := bound()
	cfg.IdleTimeout = 500 * time.Millisecond
	client, server, _ := start(t, e, cfg)
	fill(t, client)
	if res := end(t); res.Err != ErrIdle {
		t.Errorf("ended with %+v", res)
	}
	if _, err := io.Copy(io.Discard, server); !isReset(err) {
		t.Errorf("the server sees %v", err)
	}
}

func TestOnlyStreamSocketsAreTaken(t *testing.T) {
	e := newEngine(t)
	a, b := net.Pipe()
	if _, err := e.Relay(a, b, Config{}); err == nil {
		t.Error("took a net.Pipe")
	}
	near, far := dial(t)
	c, _ := net.Pipe()
	if _, err := e.Relay(far, c, Config{}); err == nil {
		t.Error("took a net.Pipe")
	}
	if _, err := near.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the other connection is not closed: %v", err)
	}
}

func TestAClosedEngineTakesNothing(t *testing.T) {
	e := newEngine(t)
	cfg, end := bound()
	client, _, r := start(t, e, cfg)
	e.Close()
	if res := end(t); res.Err != ErrAborted {
		t.Error(res.Err)
	}
	if _, err := client.Read(make([]byte, 1)); !isReset(err) {
		t.Errorf("read %v", err)
	}
	near, far := dial(t)
	if _, err := e.Echo(far, Config{}); err != ErrClosed {
		t.Error(err)
	}
	if _, err := near.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the connection is not closed: %v", err)
	}
	r.Abort()
	if rs := e.Relays(); len(rs) > 0 {
		t.Error(rs)
	}
}

func TestThousandsOfRelays(t *testing.T) {
	e := newEngine(t)
	const n = 2000
	type pair struct{ client, server *net.TCPConn }
	var pairs []pair
	for range n {
		client, server, _ := start(t, e, Config{IdleTimeout: time.Hour})
		pairs = append(pairs, pair{client, server})
	}
	if e.Len() != n || len(e.Relays()) != n {
		t.Errorf("%d, %d relays", e.Len(), len(e.Relays()))
	}
	for round := range 3 {
		for _, p := range pairs {
			p.client.Write([]byte{byte(round)})
			p.server.Write([]byte{byte(round), 1})
		}
		for i, p := range pairs {
			var b [3]byte
			p.client.SetReadDeadline(time.Now().Add(10 * time.Second))
			p.server.SetReadDeadline(time.Now().Add(10 * time.Second))
			_, err1 := io.ReadFull(p.server, b[:1])
			_, err2 := io.ReadFull(p.client, b[1:])
			if b != [3]byte{byte(round), byte(round), 1} || err1 != nil || err2 != nil {
				t.Fatalf("round %d, relay %d: %v, %v, %v", round, i, b, err1, err2)
			}
		}
	}
}
