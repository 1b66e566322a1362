package proxy_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

var message = bytes.Repeat([]byte("m"), messageSize)

// roundTrip sends a message and wants it back, into p.
func roundTrip(c net.Conn, p []byte) error {
	if _, err := c.Write(message); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, p); err != nil {
		return err
	}
	if !bytes.Equal(p, message) {
		return errors.New("the message came back as another one")
	}
	return nil
}

// messages sends messages on connections that stay, and waits for each.
func messages(b *testing.B, p *contender) sample {
	conns, buffers := make([]net.Conn, keptOpen), make([][]byte, keptOpen)
	for i := range conns {
		c, err := connect(p.Echo)
		must(b, err)
		defer c.Close()
		conns[i], buffers[i] = c, make([]byte, messageSize)
		must(b, roundTrip(c, buffers[i]))
	}
	return p.measure(b, func() (int, []time.Duration) {
		return repeat(b, keptOpen, func(i int) (time.Duration, error) {
			begin := time.Now()
			err := roundTrip(conns[i], buffers[i])
			return time.Since(begin), err
		})
	})
}

// dials sends one message on each connection.
func dials(b *testing.B, p *contender) sample {
	buffers := make([][]byte, dialers)
	for i := range buffers {
		buffers[i] = make([]byte, messageSize)
	}
	return p.measure(b, func() (int, []time.Duration) {
		return repeat(b, dialers, func(i int) (time.Duration, error) {
			begin := time.Now()
			c, err := connect(p.Echo)
			if err != nil {
				return 0, err
			}
			err = roundTrip(c, buffers[i])
			took := time.Since(begin)
			return took, errors.Join(err, c.Close())
		})
	})
}

// bulk writes as fast as it can on some connections, until the server has everything. Its operations are MiB.
func bulk(b *testing.B, p *contender) sample {
	const streams = 4
	return p.measure(b, func() (int, []time.Duration) {
		var running sync.WaitGroup
		written := make([]int, streams)
		for i := range written {
			running.Go(func() {
				var err error
				if written[i], err = push(p); err != nil {
					b.Errorf("%s: %v", p.name, err)
				}
			})
		}
		running.Wait()
		total := 0
		for _, n := range written {
			total += n
		}
		return total >> 20, nil
	})
}

// push writes for a slice of time and returns how many bytes the server says it was.
func push(p *contender) (int, error) {
	c, err := connect(p.Sink)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	written, begin := 0, time.Now()
	for part := make([]byte, 256<<10); time.Since(begin) < slice; {
		n, err := c.Write(part)
		written += n
		if err != nil {
			return 0, err
		}
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return 0, err
	}
	var answer [8]byte
	if _, err := io.ReadFull(c, answer[:]); err != nil {
		return 0, err
	}
	if n := binary.BigEndian.Uint64(answer[:]); n != uint64(written) {
		return 0, fmt.Errorf("%d bytes of %d arrived", n, written)
	}
	return written, nil
}
