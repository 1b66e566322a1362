package relay

import (
	"bytes"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// move exports r and imports it into to.
func move(t testing.TB, r *Relay, to *Engine, cfg Config) *Relay {
	t.Helper()
	st, err := r.Export()
	if err != nil {
		t.Fatal(err)
	}
	r, err = to.Import(st, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Both ways at once, each reader stalling now and then, through several hundred moves and every kind of pipe.
func TestMovesInTheMiddleOfTraffic(t *testing.T) {
	for _, c := range []struct {
		name  string
		pipes func(*testing.T)
	}{
		{"pipes", func(*testing.T) {}},
		{"small pipes", smallPipes},
		{"no pipes", noPipes},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.pipes(t)
			a, b := newEngines(t)
			engines := []*Engine{a, b}
			cfg, end := bound()
			client, server, r := start(t, engines[0], cfg)
			const moves = 250
			var moved atomic.Int32
			more := func(written int64) int64 {
				if moved.Load() == moves {
					return 0
				}
				return 1 << 20
			}
			w := shape{chunk: 200_000, every: 2 << 20, pause: time.Millisecond}
			stalls := shape{chunk: 100_000, every: 4 << 20, pause: 5 * time.Millisecond}
			up := transfer(client, server, 5, w, stalls, more)
			down := transfer(server, client, 6, w, stalls, more)
			files, leftovers := 0, 0
			for i := range moves {
				st, err := r.Export()
				if err != nil {
					t.Fatalf("move %d: %v", i, err)
				}
				files, leftovers = max(files, len(st.Files)), max(leftovers, len(st.Blob))
				if r, err = engines[(i+1)%2].Import(st, cfg); err != nil {
					t.Fatalf("move %d: %v", i, err)
				}
				time.Sleep(time.Duration(i%4) * time.Millisecond / 2)
				moved.Add(1)
			}
			for _, done := range []<-chan error{up, down} {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
			res := end(t)
			if res.Err != nil {
				t.Error(res.Err)
			}
			t.Logf("%d MiB up, %d MiB down; at most %d files, %d bytes of state", res.Up>>20, res.Down>>20, files, leftovers)
			// If no move ever found bytes stuck, the test has not shown much.
			if c.name != "no pipes" && files < 3 || c.name != "pipes" && leftovers < 1000 {
				t.Errorf("no bytes were stuck: at most %d files, %d bytes of state", files, leftovers)
			}
			if leftovers > 2*maxStash+200 {
				t.Errorf("%d bytes of state", leftovers)
			}
		})
	}
}

func TestAnExportedRelayIsLeftAlone(t *testing.T) {
	e := newEngine(t)
	client, server, r := start(t, e, Config{OnEnd: func(Result) { t.Error("OnEnd was called") }})
	client.Write([]byte("before"))
	io.ReadFull(server, make([]byte, 6))
	st, err := r.Export()
	if err != nil {
		t.Fatal(err)
	}
	if len(st.Files) != 2 || e.Len() != 0 {
		t.Errorf("%d files; %d relays left", len(st.Files), e.Len())
	}
	if _, err := r.Export(); err != ErrEnded {
		t.Errorf("a second Export: %v", err)
	}
	r.Abort()
	client.Write([]byte("after"))
	e.Relays() // the loops have been round
	c, err := net.FileConn(st.Files[0])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b := make([]byte, 5)
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "after" {
		t.Errorf("read %q, %v", b, err)
	}
	if err := st.Close(); err != nil {
		t.Error(err)
	}
}

func TestMovesWithBytesStuckBothWays(t *testing.T) {
	for _, c := range []struct {
		name  string
		pipes func(*testing.T)
		files int
	}{
		{"in pipes", func(*testing.T) {}, 4},
		{"in pipes and memory", smallPipes, 4},
		{"in memory", noPipes, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.pipes(t)
			a, b := newEngines(t)
			cfg, end := bound()
			client, server, r := start(t, a, cfg)
			up, down := fill(t, client), fill(t, server)
			client.CloseWrite()
			server.CloseWrite()
			for range 10 {
				st, err := r.Export()
				if err != nil {
					t.Fatal(err)
				}
				if len(st.Files) != c.files {
					t.Errorf("%d files, want %d", len(st.Files), c.files)
				}
				if r, err = b.Import(st, cfg); err != nil {
					t.Fatal(err)
				}
				a, b = b, a
			}
			if n, err := io.Copy(io.Discard, server); n != up || err != nil {
				t.Errorf("%d bytes of %d arrived at the server: %v", n, up, err)
			}
			if n, err := io.Copy(io.Discard, client); n != down || err != nil {
				t.Errorf("%d bytes of %d arrived at the client: %v", n, down, err)
			}
			if res := end(t); res.Err != nil || res.Up != uint64(up) || res.Down != uint64(down) {
				t.Errorf("ended with %+v", res)
			}
		})
	}
}

func TestMovesHalfClosed(t *testing.T) {
	a, b := newEngines(t)
	for _, first := range []string{"client", "server"} {
		cfg, end := bound()
		one, other, r := start(t, a, cfg)
		if first == "server" {
			one, other = other, one
		}
		one.Write([]byte("last"))
		one.CloseWrite()
		if got, err := io.ReadAll(other); string(got) != "last" || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
		r = move(t, r, b, cfg)
		other.Write([]byte("on"))
		if _, err := io.ReadFull(one, make([]byte, 2)); err != nil {
			t.Error(err)
		}
		move(t, r, a, cfg)
		other.CloseWrite()
		if got, err := io.ReadAll(one); len(got) > 0 || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
		if res := end(t); res.Err != nil || res.Up+res.Down != 6 {
			t.Errorf("ended with %+v", res)
		}
	}
}

// Whatever happens to the sockets while nobody watches them is seen by the next engine.
func TestWhatHappensWhileItMovesIsSeenAfterwards(t *testing.T) {
	a, b := newEngines(t)
	for _, c := range []struct {
		name  string
		do    func(*net.TCPConn)
		clean bool
	}{
		{"data and end", func(c *net.TCPConn) { c.Write([]byte("bye")); c.CloseWrite() }, true},
		{"reset", func(c *net.TCPConn) { c.SetLinger(0); c.Close() }, false},
	} {
		cfg, end := bound()
		client, server, r := start(t, a, cfg)
		server.CloseWrite()
		st, err := r.Export()
		if err != nil {
			t.Fatal(err)
		}
		c.do(client)
		if _, err := b.Import(st, cfg); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(server)
		if c.clean && (string(got) != "bye" || err != nil) || !c.clean && !isReset(err) {
			t.Errorf("%s: read %q, %v", c.name, got, err)
		}
		if res := end(t); c.clean != (res.Err == nil) {
			t.Errorf("%s: ended with %v", c.name, res.Err)
		}
	}
}

// Relays that end by themselves or by Abort while they are exported: each is either moved or ended, never both.
func TestExportRacesTheEnd(t *testing.T) {
	a, b := newEngines(t)
	var moved, ended, onEnd atomic.Int32
	const n = 400
	for i := range n {
		client, server, r := start(t, a, Config{OnEnd: func(Result) { onEnd.Add(1) }})
		var wg sync.WaitGroup
		wg.Go(func() {
			switch i % 4 {
			case 0, 1:
				r.Abort()
			case 2:
				client.SetLinger(0)
				client.Close()
			case 3:
				client.Close()
				server.Close()
			}
		})
		wg.Go(func() {
			st, err := r.Export()
			if err == ErrEnded {
				ended.Add(1)
				return
			}
			moved.Add(1)
			if err != nil {
				t.Error(err)
			} else if _, err := b.Import(st, Config{OnEnd: func(Result) { onEnd.Add(1) }}); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		client.Close()
		server.Close()
	}
	a.Close()
	b.Close()
	if onEnd.Load() != n || moved.Load()+ended.Load() != n {
		t.Errorf("%d relays: %d moved, %d ended before; %d OnEnds", n, moved.Load(), ended.Load(), onEnd.Load())
	}
	t.Logf("%d moved, %d ended before", moved.Load(), ended.Load())
}

func TestIdleTimeMoves(t *testing.T) {
	a, b := newEngines(t)
	cfg, end := bound()
	cfg.IdleTimeout = time.Second
	begin := time.Now()
	_, _, r := start(t, a, cfg)
	for range 8 {
		time.Sleep(100 * time.Millisecond)
		r = move(t, r, b, cfg)
		a, b = b, a
	}
	if res := end(t); res.Err != ErrIdle {
		t.Errorf("ended with %+v", res)
	}
	// Had each import begun anew it would have been 1.8 s.
	if d := time.Since(begin); d < cfg.IdleTimeout || d > 1600*time.Millisecond {
		t.Errorf("ended after %v", d)
	}
}

// A model: any sequence of writes, reads, ends and moves leaves what was sent and not yet read to be read.
func TestAnySequenceOfMoves(t *testing.T) {
	a, b := newEngines(t)
	engines := []*Engine{a, b}
	rapid.Check(t, func(rt *rapid.T) {
		client, server, r := start(t, engines[0], Config{})
		ends := [2]*net.TCPConn{client, server}
		var sent [2]bytes.Buffer
		var closed [2]bool
		at := 0
		rt.Repeat(map[string]func(*rapid.T){
			"write": func(rt *rapid.T) {
				i := rapid.IntRange(0, 1).Draw(rt, "end")
				if closed[i] || sent[i].Len() > 1<<20 {
					return
				}
				b := bytes.Repeat([]byte{rapid.Byte().Draw(rt, "byte")}, rapid.IntRange(1, 100_000).Draw(rt, "n"))
				ends[i].SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
				n, _ := ends[i].Write(b)
				sent[i].Write(b[:n])
			},
			"read": func(rt *rapid.T) {
				i := rapid.IntRange(0, 1).Draw(rt, "end")
				want := make([]byte, min(sent[i].Len(), rapid.IntRange(0, 200_000).Draw(rt, "n")))
				got := make([]byte, len(want))
				sent[i].Read(want)
				ends[1-i].SetReadDeadline(time.Now().Add(10 * time.Second))
				if _, err := io.ReadFull(ends[1-i], got); err != nil || !bytes.Equal(got, want) {
					rt.Fatalf("not what end %d wrote: %v", i, err)
				}
			},
			"end": func(rt *rapid.T) {
				i := rapid.IntRange(0, 1).Draw(rt, "end")
				if !closed[0] && !closed[1] { // when both have ended, so may the relay have
					ends[i].CloseWrite()
					closed[i] = true
				}
			},
			"move": func(rt *rapid.T) {
				at = 1 - at
				r = move(t, r, engines[at], Config{})
			},
		})
		for i := range ends {
			ends[i].CloseWrite()
			ends[1-i].SetReadDeadline(time.Now().Add(10 * time.Second))
			if got, err := io.ReadAll(ends[1-i]); err != nil || !bytes.Equal(got, sent[i].Bytes()) {
				rt.Fatalf("not what end %d wrote: %v", i, err)
			}
		}
	})
}
