//go:build !unix

package bench

import (
	"errors"
	"os"
	"time"
)

// readNow waits for a millisecond, since there is no read here that does not wait at all.
func (c *pollConn) readNow(p []byte) (int, error) {
	if err := c.Conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		return 0, errQuiet
	}
	return n, err
}
