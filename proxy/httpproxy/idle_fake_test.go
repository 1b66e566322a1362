package httpproxy

import (
	"net"
	"sync/atomic"
)

// fake is an idle connection whose end is seen.
type fake struct {
	net.Conn
	conn   *conn
	quiet  atomic.Bool
	closed atomic.Bool
}

func fakeConn() *fake {
	f := &fake{}
	f.quiet.Store(true)
	f.conn = newConn(f, 0)
	f.conn.alive = f.quiet.Load
	return f
}

func (f *fake) Close() error {
	f.closed.Store(true)
	return nil
}
