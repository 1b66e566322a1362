package relay

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// ways are what the benchmarks compare, side by side in one run. Each relays in a process of its own, whose CPU time
// per operation is reported beside the clock's: the client and the server here take far more.
var ways = []string{"engine", "iocopy"}

func init() { helpers["front"] = runFront }

// runFront is the relaying process. It writes its address and runs until its input ends.
func runFront() error {
	relay := copyBoth
	if os.Getenv("RELAY_TEST_WAY") == "engine" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 2)
		e, err := New(Options{})
		if err != nil {
			return err
		}
		relay = func(client, upstream *net.TCPConn) {
			if _, err := e.Relay(client, upstream, Config{}); err != nil {
				panic(err)
			}
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go accept(ln, func(c *net.TCPConn) {
		u, err := net.Dial("tcp", os.Getenv("RELAY_TEST_UPSTREAM"))
		if err != nil {
			panic(err)
		}
		relay(c, u.(*net.TCPConn))
	})
	fmt.Println(ln.Addr())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func copyBoth(client, upstream *net.TCPConn) {
	var wg sync.WaitGroup
	pass := func(dst, src *net.TCPConn) {
		io.Copy(dst, src)
		dst.CloseWrite()
	}
	wg.Go(func() { pass(client, upstream) })
	wg.Go(func() { pass(upstream, client) })
	go func() {
		wg.Wait()
		client.Close()
		upstream.Close()
	}()
}

// front starts a relaying process. Stop ends it and reports what it used.
func front(b *testing.B, way, upstream string) (addr string, stop func()) {
	b.Helper()
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "RELAY_TEST_HELPER=front", "RELAY_TEST_WAY="+way, "RELAY_TEST_UPSTREAM="+upstream)
	cmd.Stderr = os.Stderr
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		b.Fatal(err)
	}
	if _, err := fmt.Fscan(out, &addr); err != nil {
		b.Error(err)
	}
	return addr, func() {
		b.StopTimer()
		in.Close()
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
		cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N), "cpu-ns/op")
	}
}

// serve accepts until b ends and hands each connection to f.
func serve(b *testing.B, f func(*net.TCPConn)) (addr string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		accept(ln, f)
	}()
	b.Cleanup(func() {
		ln.Close()
		<-done
	})
	return ln.Addr().String()
}

func accept(ln net.Listener, f func(*net.TCPConn)) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		f(c.(*net.TCPConn))
	}
}

func echoServer(b *testing.B) (addr string) {
	e := openEngine(b)
	return serve(b, func(c *net.TCPConn) {
		if _, err := e.Echo(c, Config{}); err != nil {
			b.Error(err)
		}
	})
}

// roundTrip writes and reads back p.
func roundTrip(c net.Conn, p []byte) error {
	if _, err := c.Write(p); err != nil {
		return err
	}
	_, err := io.ReadFull(c, p)
	return err
}

// Small messages on 64 connections at once, to an echo and back.
func BenchmarkRoundTrip(b *testing.B) {
	for _, way := range ways {
		b.Run(way, func(b *testing.B) {
			addr, stop := front(b, way, echoServer(b))
			defer stop()
			const conns = 64
			var left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			begin := make(chan struct{})
			for range conns {
				c, err := net.Dial("tcp", addr)
				if err != nil {
					b.Fatal(err)
				}
				defer c.Close()
				if err := roundTrip(c, make([]byte, 64)); err != nil {
					b.Fatal(err)
				}
				wg.Go(func() {
					p := make([]byte, 64)
					<-begin
					for left.Add(-1) >= 0 {
						if err := roundTrip(c, p); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			b.ResetTimer()
			close(begin)
			wg.Wait()
		})
	}
}

// A connection, one message each way, and its end.
func BenchmarkNewConnection(b *testing.B) {
	for _, way := range ways {
		b.Run(way, func(b *testing.B) {
			addr, stop := front(b, way, echoServer(b))
			defer stop()
			b.SetParallelism(8)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				p := make([]byte, 64)
				for pb.Next() {
					c, err := net.Dial("tcp", addr)
					if err == nil {
						err = roundTrip(c, p)
						c.(*net.TCPConn).SetLinger(0) // or the ports run out in TIME_WAIT
						c.Close()
					}
					if err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// One stream of 256 KiB writes.
func BenchmarkBulk(b *testing.B) {
	for _, way := range ways {
		b.Run(way, func(b *testing.B) {
			const chunk = 256 << 10
			received := make(chan int64, 1)
			sink := serve(b, func(c *net.TCPConn) {
				n, _ := c.WriteTo(io.Discard)
				c.Close()
				received <- n
			})
			addr, stop := front(b, way, sink)
			defer stop()
			c, err := net.Dial("tcp", addr)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			p := make([]byte, chunk)
			b.SetBytes(chunk)
			b.ResetTimer()
			for range b.N {
				if _, err := c.Write(p); err != nil {
					b.Fatal(err)
				}
			}
			c.(*net.TCPConn).CloseWrite()
			if n := <-received; n != int64(b.N)*chunk {
				b.Errorf("%d bytes of %d arrived", n, int64(b.N)*chunk)
			}
		})
	}
}
