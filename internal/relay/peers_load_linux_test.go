package relay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// dialMany opens connections each of which has answered once.
func dialMany(b *testing.B, address string, n int) []net.Conn {
	b.Helper()
	conns := make([]net.Conn, n)
	for i := range conns {
		c, err := net.Dial("tcp", address)
		if err == nil {
			err = roundTrip(c, make([]byte, messageSize))
		}
		if err != nil {
			b.Fatal(err)
		}
		conns[i] = c
	}
	return conns
}

func closeMany(conns []net.Conn) {
	for _, c := range conns {
		c.Close()
	}
}

// exchange sends a small message on each connection and waits for it to come back, over and over.
func exchange(b *testing.B, conns []net.Conn, d time.Duration) (float64, []time.Duration) {
	return repeat(b, len(conns), d, func(i int, p []byte) error { return roundTrip(conns[i], p) })
}

// connect opens connections, exchanges a small message on each and closes it.
func connect(b *testing.B, address string, d time.Duration) (float64, []time.Duration) {
	return repeat(b, dialers, d, func(_ int, p []byte) error {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		return errors.Join(roundTrip(c, p), c.Close())
	})
}

// repeat calls do over and over for as long as d on each of n goroutines, and returns how often and how long each took.
func repeat(b *testing.B, n int, d time.Duration, do func(i int, p []byte) error) (float64, []time.Duration) {
	latencies := make([][]time.Duration, n)
	var wg sync.WaitGroup
	begin := time.Now()
	for i := range n {
		wg.Go(func() {
			p := make([]byte, messageSize)
			for last := time.Since(begin); last < d; {
				if err := do(i, p); err != nil {
					b.Error(err)
					return
				}
				now := time.Since(begin)
				latencies[i] = append(latencies[i], now-last)
				last = now
			}
		})
	}
	wg.Wait()
	all := slices.Concat(latencies...)
	return float64(len(all)), all
}

// A bulk is a stream that is written until it is told to finish.
type bulk struct {
	c       net.Conn
	written atomic.Uint64
	quit    atomic.Bool
	done    chan struct{}
}

func openStream(b *testing.B, address string) *bulk {
	b.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	s := &bulk{c: c, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		for p := make([]byte, 256<<10); !s.quit.Load(); {
			n, err := c.Write(p)
			s.written.Add(uint64(n))
			if err != nil {
				b.Error(err)
				return
			}
		}
	}()
	return s
}

// finish ends the stream, waits until the backend has all of it and returns how much that is.
func (s *bulk) finish(b *testing.B) uint64 {
	defer s.c.Close()
	s.quit.Store(true)
	<-s.done
	var p [8]byte
	err := s.c.(*net.TCPConn).CloseWrite()
	if err == nil {
		_, err = io.ReadFull(s.c, p[:])
	}
	n := binary.BigEndian.Uint64(p[:])
	if err != nil || n != s.written.Load() {
		b.Errorf("%d bytes of %d arrived: %v", n, s.written.Load(), err)
	}
	return n
}

// stream writes to some connections for as long as d and returns how many GB arrived.
func stream(b *testing.B, address string, n int, d time.Duration) float64 {
	var streams []*bulk
	for range n {
		streams = append(streams, openStream(b, address))
	}
	time.Sleep(d)
	var total uint64
	for _, s := range streams {
		s.quit.Store(true)
	}
	for _, s := range streams {
		total += s.finish(b)
	}
	return float64(total) / 1e9
}

func median[T any](of []T, value func(T) float64) float64 {
	var all []float64
	for _, v := range of {
		all = append(all, value(v))
	}
	slices.Sort(all)
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}

// A table is printed in Markdown.
type table struct{ rows [][]string }

func newTable(head ...string) *table {
	t := &table{}
	t.add(head...)
	t.add(slices.Repeat([]string{"---"}, len(head))...)
	return t
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) print() {
	for _, r := range t.rows {
		fmt.Println("|", strings.Join(r, " | "), "|")
	}
}
