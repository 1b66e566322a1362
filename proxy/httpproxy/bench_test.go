package httpproxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/proxy/config"
	"github.com/seed-e3b9a99f/baton/proxy/upstream"
)

// BenchmarkProxy measures the handler beside httputil.ReverseProxy with a tuned http.Transport, both behind net/http's
// server and in front of the same plain server, over keep-alive connections. The client is as light as it can be.
//
//	go test -bench Proxy -benchtime 3s ./proxy/httpproxy
func BenchmarkProxy(b *testing.B) {
	for _, size := range []int{100, 32 << 10, 4 << 20} {
		for _, method := range []string{"GET", "POST"} {
			if method == "POST" && size != 100 {
				continue
			}
			server := benchServer(b, size)
			for name, h := range map[string]http.Handler{"baton": benchHandler(b, server), "reverseproxy": benchReverse(b, server)} {
				b.Run(fmt.Sprintf("%s/%s/%d", name, method, size), func(b *testing.B) { benchProxy(b, h, method, size) })
			}
		}
	}
}

// benchServer answers every request at once with so many bytes.
func benchServer(b *testing.B, size int) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = ln.Close() })
	answer := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s",
		size, strings.Repeat("x", size))
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r := bufio.NewReader(c)
				for {
					length := 0
					for {
						line, err := r.ReadSlice('\n')
						if err != nil {
							return
						}
						if len(line) == 2 {
							break
						}
						_, _ = fmt.Sscanf(string(line[:min(len(line), 20)]), "Content-Length: %d", &length)
					}
					_, _ = r.Discard(length)
					if _, err := c.Write(answer); err != nil {
						return
					}
				}
			}()
		}
	}()
	return ln.Addr().String()
}

func benchHandler(b *testing.B, server string) http.Handler {
	cfg := config.Upstream{
		Servers: []string{server}, Balance: config.RoundRobin, ConnectTimeout: time.Second, ResponseTimeout: time.Minute,
		MaxIdle: 256, Retries: 1,
	}
	pool, err := upstream.New("app", cfg, upstream.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	h := New(Options{
		Listener:  config.Listener{Name: "web", Upstream: "app"},
		Upstreams: map[string]Upstream{"app": {Pool: pool, Config: cfg}},
		Observe:   func(Exchange) {},
	})
	b.Cleanup(func() { h.Close(); pool.Close() })
	return h
}

type bufferPool struct{ sync.Pool }

func (p *bufferPool) Get() []byte  { return p.Pool.Get().(*[32 << 10]byte)[:] }
func (p *bufferPool) Put(b []byte) { p.Pool.Put((*[32 << 10]byte)(b)) }

func benchReverse(b *testing.B, server string) http.Handler {
	target := &url.URL{Scheme: "http", Host: server}
	transport := &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true, ResponseHeaderTimeout: time.Minute}
	b.Cleanup(transport.CloseIdleConnections)
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
			r.SetXForwarded()
		},
		Transport:  transport,
		BufferPool: &bufferPool{sync.Pool{New: func() any { return new([32 << 10]byte) }}},
	}
}

func benchProxy(b *testing.B, h http.Handler, method string, size int) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	go func() { _ = srv.Serve(ln) }()
	defer srv.Shutdown(context.Background())
	request := method + " /some/path?x=1 HTTP/1.1\r\nHost: test\r\nUser-Agent: bench\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n"
	if method == "POST" {
		request += "Content-Length: 100\r\n\r\n" + strings.Repeat("x", 100)
	} else {
		request += "\r\n"
	}
	b.SetBytes(int64(size))
	b.SetParallelism(16)
	b.ReportAllocs()
	b.ResetTimer()
	used := cpuTime()
	b.RunParallel(func(pb *testing.PB) {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			b.Error(err)
			return
		}
		defer c.Close()
		r := bufio.NewReader(c)
		for pb.Next() {
			if _, err := io.WriteString(c, request); err != nil {
				b.Error(err)
				return
			}
			for {
				line, err := r.ReadSlice('\n')
				if err != nil {
					b.Error(err)
					return
				}
				if len(line) == 2 {
					break
				}
			}
			if _, err := r.Discard(size); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64((cpuTime()-used).Microseconds())/float64(b.N), "cpu-µs/op") // client and server, too
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
}
