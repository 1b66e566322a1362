package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/pprof"
	"strconv"
	"strings"

	"github.com/seed-e3b9a99f/baton/proxy"
	"github.com/seed-e3b9a99f/baton/upgrader"
)

// envPeers makes this test binary what the benchmark needs beside itself: "backend" the servers, "profile" the proxy
// that writes a CPU profile.
const envPeers = "BATON_TEST_PEERS"

func init() {
	switch os.Getenv(envPeers) {
	case "":
		return
	case "backend":
		if err := runPeersBackend(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case "profile":
		err := runProfiled(os.Getenv(envProfile))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(upgrader.ExitCode(err))
	}
	os.Exit(0)
}

// runProfiled serves the configuration in the working directory.
func runProfiled(file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return proxy.Run(context.Background(), proxy.Options{File: "config"})
}

const (
	// smallBody and largeBody are what a GET of / and of /large returns, in bytes.
	smallBody, largeBody = 100, 1 << 20
	// postBody is what a POST sends.
	postBody = 16 << 10
	// messageSize is that of a message over TCP.
	messageSize = 100
)

// runPeersBackend runs an HTTP server, one that sends back what comes, and one that swallows it and answers at the end
// of the stream how much it was. It writes their addresses, and returns at the end of its input.
func runPeersBackend(in io.Reader, out io.Writer) error {
	for _, serve := range []func(net.Conn) error{serveWeb, serveEcho, serveSink} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer ln.Close()
		fmt.Fprintln(out, ln.Addr())
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					if err := serve(c); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
						fmt.Fprintln(os.Stderr, "backend:", err)
					}
				}()
			}
		}()
	}
	_, err := io.Copy(io.Discard, in)
	return err
}

// serveWeb is as small as a server can be, so that the proxies have the machine.
func serveWeb(c net.Conn) error {
	answer := func(body int) []byte {
		return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: text/plain\r\n"+
			"Content-Length: %d\r\n\r\n%s", body, strings.Repeat("x", body))
	}
	small := answer(smallBody)
	var large []byte
	r := bufio.NewReaderSize(c, 32<<10)
	for {
		first, err := r.ReadSlice('\n')
		if err != nil {
			return hungUp(err)
		}
		reply := small
		if bytes.HasPrefix(first, []byte("GET /large ")) {
			if large == nil {
				large = answer(largeBody)
			}
			reply = large
		}
		h, err := readHead(r)
		if err == nil && h.chunked {
			err = errors.New("a body in chunks")
		}
		if err == nil {
			_, err = r.Discard(h.length)
		}
		if err == nil {
			_, err = c.Write(reply)
		}
		if err != nil {
			return hungUp(err)
		}
	}
}

// hungUp hides that a proxy has closed a connection, which is its right between two requests; if it was within one, a
// client sees it.
func hungUp(err error) error {
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return nil
	}
	return err
}

// head is what is read of the fields of a request or a response.
type head struct {
	length  int
	chunked bool
	close   bool
}

// readHead reads fields and the empty line after them.
func readHead(r *bufio.Reader) (h head, err error) {
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return h, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return h, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if h.length, err = strconv.Atoi(string(value)); err != nil {
				return h, err
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			h.chunked = true
		case bytes.EqualFold(name, []byte("Connection")):
			h.close = bytes.EqualFold(value, []byte("close"))
		}
	}
}

func serveEcho(c net.Conn) error {
	p := make([]byte, 4<<10)
	for {
		n, err := c.Read(p)
		if err == nil {
			_, err = c.Write(p[:n])
		}
		if err != nil {
			return hungUp(err)
		}
	}
}

func serveSink(c net.Conn) error {
	var n uint64
	for p := make([]byte, 256<<10); ; {
		m, err := c.Read(p)
		n += uint64(m)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	_, err := c.Write(binary.BigEndian.AppendUint64(nil, n))
	return err
}
