// Package testing is tableflip's package of that name: a stub of the Upgrader for tests and for platforms without
// graceful restart. Listen opens sockets; nothing is inherited and nothing is passed on.
package testing

import (
	"net"
	"os"
)

// Fds opens listeners, and knows no inherited ones.
type Fds struct{}

// Listen returns a new listener, which the caller closes.
func (f *Fds) Listen(network, addr string) (net.Listener, error) { return net.Listen(network, addr) }

// Listener returns nil: nothing is inherited.
func (f *Fds) Listener(network, addr string) (net.Listener, error) { return nil, nil }

// AddListener does nothing: nothing is passed on.
func (f *Fds) AddListener(network, addr string, ln net.Listener) error { return nil }

// Conn returns nil: nothing is inherited.
func (f *Fds) Conn(network, addr string) (net.Conn, error) { return nil, nil }

// AddConn does nothing: nothing is passed on.
func (f *Fds) AddConn(network, addr string, conn net.Conn) error { return nil }

// File returns nil: nothing is inherited.
func (f *Fds) File(name string) (*os.File, error) { return nil, nil }

// AddFile does nothing: nothing is passed on.
func (f *Fds) AddFile(name string, file *os.File) error { return nil }
