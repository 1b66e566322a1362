package stream

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-e3b9a99f/baton/internal/relay"
)

// The timeout counts from the last byte, in either direction.
func TestCopyIdles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, near := net.Pipe()
		far, server := net.Pipe()
		var up, down uint64
		ended := make(chan error)
		begin := time.Now()
		go func() {
			var err error
			up, down, err = Copy(near, far, time.Minute, nil)
			ended <- err
		}()
		for i := range 4 {
			time.Sleep(59 * time.Second)
			from, to := client, server
			if i%2 == 1 {
				from, to = server, client
			}
			say(t, from, "x")
			hear(t, to, "x")
		}
		time.Sleep(59 * time.Second)
		go func() { _, _ = io.WriteString(client, "x") }()
		time.Sleep(30 * time.Second) // it counts from when it came, and from when it went
		hear(t, server, "x")
		if err := <-ended; !errors.Is(err, relay.ErrIdle) || up != 3 || down != 2 {
			t.Errorf("%d up, %d down, %v", up, down, err)
		}
		if took := time.Since(begin); took != (5*59+30)*time.Second+time.Minute {
			t.Errorf("ended after %s", took)
		}
	})
}

// A server that does not read has not got everything when the time is up, and must not think so.
func TestCopyIdlesWithBytesStuck(t *testing.T) {
	b := newBackend(t)
	s, c := ending(t, b)
	s.listener.IdleTimeout = 4 * moment
	v := serve(t, s)
	client := tls.Client(v.dial(), c)
	go func() { _, _ = io.Copy(client, zeros{}) }()
	server := b.accept()
	if e := v.event(); e.Class != Idle || e.Up == 0 {
		t.Errorf("observed %+v", e)
	}
	hearReset(t, server)
}

// Nobody reads before everything has come to a stop, in both directions.
func TestTLSTransfersWithStalls(t *testing.T) {
	const size = 10 << 20
	b := newBackend(t)
	s, c := ending(t, b)
	v := serve(t, s)
	client := tls.Client(v.dial(), c)
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	server := b.accept()
	var written atomic.Int64
	results := make(chan error, 4)
	for seed, from := range map[byte]net.Conn{1: client, 2: server} {
		go func() {
			_, err := io.Copy(from, io.TeeReader(random(seed, size), counter{&written}))
			from.(interface{ CloseWrite() error }).CloseWrite()
			results <- err
		}()
	}
	for last := int64(-1); written.Load() != last; time.Sleep(moment) { // until it has stalled
		last = written.Load()
	}
	if n := written.Load(); n == 2*size {
		t.Log("everything fits into buffers")
	}
	for seed, to := range map[byte]net.Conn{1: server, 2: client} {
		go func() { results <- same(to, random(seed, size)) }()
	}
	for range 4 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	client.Close()
	server.Close()
	v.wantEvent("", size, size)
}

type counter struct{ n *atomic.Int64 }

func (c counter) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return len(b), nil
}

func random(seed byte, size int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{seed}), size)
}

// same tells whether two streams are the same.
func same(a, b io.Reader) error {
	bufA, bufB := make([]byte, 32<<10), make([]byte, 32<<10)
	for at := 0; ; {
		n, err := io.ReadFull(b, bufB)
		got, errGot := io.ReadFull(a, bufA)
		if got != n || !bytes.Equal(bufA[:got], bufB[:n]) {
			return fmt.Errorf("different within %d bytes of %d: %d instead of %d, %w", 32<<10, at, got, n, errGot)
		}
		at += n
		if err != nil {
			if errors.Is(errGot, io.EOF) || errors.Is(errGot, io.ErrUnexpectedEOF) {
				return nil
			}
			return errGot
		}
	}
}
