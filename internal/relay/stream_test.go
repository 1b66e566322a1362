package relay

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"time"
)

// conn is what the ends of TCP and Unix connections have in common.
type conn interface {
	io.ReadWriteCloser
	CloseWrite() error
	SetDeadline(time.Time) error
}

// A shape is how an application reads or writes: random chunks up to a size, and now and then a pause.
type shape struct {
	chunk int
	every int // bytes between pauses; 0 for none
	pause time.Duration
}

func (s shape) rest(moved *int, n int) {
	if *moved += n; s.every > 0 && *moved >= s.every {
		*moved = 0
		time.Sleep(s.pause)
	}
}

// source writes seed's stream until more, which is asked before each write with what was written, returns 0; and then
// ends the stream. It returns how much it wrote.
func source(w conn, seed byte, s shape, more func(written int64) int64) (int64, error) {
	rng, stream := rand.New(rand.NewPCG(uint64(seed), 1)), rand.NewChaCha8([32]byte{seed})
	buf := make([]byte, s.chunk)
	var written int64
	var moved int
	for {
		left := more(written)
		if left <= 0 {
			return written, w.CloseWrite()
		}
		b := buf[:min(left, int64(1+rng.IntN(s.chunk)))]
		stream.Read(b)
		if _, err := w.Write(b); err != nil {
			return written, fmt.Errorf("after %d bytes: %w", written, err)
		}
		written += int64(len(b))
		s.rest(&moved, len(b))
	}
}

// sink reads to the end of the stream, which must be seed's, and returns how long it was.
func sink(r io.Reader, seed byte, s shape) (int64, error) {
	rng, stream := rand.New(rand.NewPCG(uint64(seed), 2)), rand.NewChaCha8([32]byte{seed})
	buf, want := make([]byte, s.chunk), make([]byte, s.chunk)
	var read int64
	var moved int
	for {
		n, err := r.Read(buf[:1+rng.IntN(s.chunk)])
		stream.Read(want[:n])
		if !bytes.Equal(buf[:n], want[:n]) {
			return read, fmt.Errorf("bytes %d to %d are not what was sent", read, read+int64(n))
		}
		read += int64(n)
		if err == io.EOF {
			return read, nil
		}
		if err != nil {
			return read, fmt.Errorf("after %d bytes: %w", read, err)
		}
		s.rest(&moved, n)
	}
}

// upTo is a source's limit.
func upTo(size int64) func(int64) int64 {
	return func(written int64) int64 { return size - written }
}

// transfer is one direction: from writes a stream, to reads and checks it.
func transfer(from, to conn, seed byte, w, r shape, more func(int64) int64) <-chan error {
	done := make(chan error, 1)
	sent := make(chan int64, 1)
	deadline := time.Now().Add(2 * time.Minute)
	from.SetDeadline(deadline)
	to.SetDeadline(deadline)
	go func() {
		n, err := source(from, seed, w, more)
		if err != nil {
			to.SetDeadline(time.Now()) // or sink would wait
			n = -1
			done <- fmt.Errorf("write: %w", err)
		}
		sent <- n
	}()
	go func() {
		got, err := sink(to, seed, r)
		if err != nil {
			from.SetDeadline(time.Now())
		}
		n := <-sent
		switch {
		case n < 0: // reported by the writer
		case err != nil:
			done <- fmt.Errorf("read: %w", err)
		case n != got:
			done <- fmt.Errorf("%d bytes sent, %d received", n, got)
		default:
			done <- nil
		}
	}()
	return done
}
