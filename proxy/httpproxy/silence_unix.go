//go:build unix

package httpproxy

import "syscall"

// silence returns a function that tells whether a connection is open and nothing has come in. It takes no byte that
// anyone would want: what a server says unasked, such as 408, is no answer to the next request.
func silence(raw syscall.RawConn) func() bool {
	var quiet bool
	var b [1]byte
	look := func(fd uintptr) bool {
		_, err := syscall.Read(int(fd), b[:]) // net's sockets do not block
		quiet = err == syscall.EAGAIN
		return true
	}
	return func() bool {
		quiet = false
		return raw.Read(look) == nil && quiet
	}
}
