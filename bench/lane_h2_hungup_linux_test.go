package bench

import (
	"context"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The end of a connection is seen though nobody reads it, and nothing is taken from the socket.
func TestHungUp(t *testing.T) {
	s := serveEach(t, func(s *server, c net.Conn, _ int) {
		c.Write([]byte("x"))
		<-s.gate
	})
	c, err := (&dialer{addr: s.addr()}).dial(context.Background(), time.Now().Add(ample))
	if err != nil {
		t.Fatal(err)
	}
	defer c.drop()
	awaitPoll(t, c, unix.POLLIN)
	if c.hungUp() {
		t.Error("bytes are taken for the end")
	}
	s.gate <- true
	awaitPoll(t, c, unix.POLLRDHUP)
	if !c.hungUp() {
		t.Error("the end is not seen")
	}
	if b, err := c.br.ReadByte(); b != 'x' || err != nil {
		t.Errorf("read %q, %v", b, err)
	}
}
