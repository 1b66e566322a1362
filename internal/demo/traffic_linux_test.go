package demo

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"hash/crc64"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The defaults are for every run of the tests; the design's own figures are
// go test ./internal/demo -run Survive -upgrades 100 -conns 200 -stream 4096.
var (
	upgrades = flag.Int("upgrades", 12, "how many upgrades the traffic has to survive")
	conns    = flag.Int("conns", 50, "connections of each kind")
	stream   = flag.Int64("stream", 192, "MiB of the long stream")
)

// Nobody loses a byte or has to reconnect: connections with traffic all the time, on HTTP and on TCP, outlive one
// process after the other.
func TestConnectionsSurviveUpgrades(t *testing.T) {
	p := start(t)
	quit := make(chan struct{})
	var clients sync.WaitGroup
	var done atomic.Int64
	run := func(kind string, n int, step func(seq int) error) {
		clients.Go(func() {
			for seq := 0; ; seq++ {
				select {
				case <-quit:
					return
				default:
				}
				if err := step(seq); err != nil {
					t.Errorf("%s %d, step %d: %v", kind, n, seq, err)
					return
				}
				done.Add(1)
				time.Sleep(time.Duration(rand.IntN(int(20 * time.Millisecond))))
			}
		})
	}
	for i, c := range idleClients(t, p.http, *conns) {
		run("http", i, func(int) error { return c.post() })
	}
	for i := range *conns {
		c, err := net.Dial("tcp", p.tcp)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		run("tcp", i, func(seq int) error { return exchange(c, i, seq) })
	}
	var pids []int
	for range *upgrades {
		pids = append(pids, p.pid())
		p.upgrade()                       // fails if the old process does not go
		time.Sleep(50 * time.Millisecond) // some traffic
	}
	close(quit)
	clients.Wait()
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("pid %d is still there", pid)
		}
	}
	if done.Load() < int64(*conns) {
		t.Errorf("only %d steps: the clients did nothing", done.Load())
	}
}

// exchange sends bytes that nobody else sends, of any size, and wants them back.
func exchange(c net.Conn, client, seq int) error {
	_ = c.SetDeadline(time.Now().Add(patience))
	sent := make([]byte, 16+rand.IntN(5000))
	for i := 0; i+16 <= len(sent); i += 16 {
		binary.BigEndian.PutUint64(sent[i:], uint64(client)<<32|uint64(seq))
		binary.BigEndian.PutUint64(sent[i+8:], uint64(i))
	}
	if _, err := c.Write(sent); err != nil {
		return err
	}
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if !bytes.Equal(got, sent) {
		return fmt.Errorf("an echo of %d bytes differs", len(sent))
	}
	return nil
}

// A long stream, whose reader stalls now and then so that data is stuck all the way, comes back unchanged.
func TestStreamSurvivesUpgrades(t *testing.T) {
	p := start(t)
	c, err := net.Dial("tcp", p.tcp)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	size := *stream << 20
	table := crc64.MakeTable(crc64.ECMA)
	sums := make(chan uint64, 1)
	var read atomic.Int64
	go func() {
		source, sum := rand.NewChaCha8([32]byte{1}), crc64.New(table)
		if _, err := io.CopyN(io.MultiWriter(c, sum), source, size); err != nil {
			t.Errorf("send: %v", err)
		}
		_ = c.(*net.TCPConn).CloseWrite()
		sums <- sum.Sum64()
	}()
	got := make(chan uint64, 1)
	go func() {
		sum, buf := crc64.New(table), make([]byte, 64<<10)
		for {
			n, err := c.Read(buf)
			sum.Write(buf[:n])
			if before := read.Add(int64(n)) - int64(n); before>>25 != read.Load()>>25 { // every 32 MiB
				time.Sleep(100 * time.Millisecond)
			}
			if err != nil {
				if err != io.EOF {
					t.Errorf("read: %v", err)
				}
				got <- sum.Sum64()
				return
			}
		}
	}()
	for n := range *upgrades {
		p.until("more of the stream has come", func() bool { return read.Load() >= size*int64(n)/int64(*upgrades) })
		p.upgrade()
	}
	want := <-sums
	if sum := <-got; sum != want || read.Load() != size {
		t.Errorf("%d of %d bytes came back, checksum %x of %x", read.Load(), size, sum, want)
	}
}
