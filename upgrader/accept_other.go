//go:build !linux

package upgrader

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
)

type sockets struct{}

var errNoSockets = fmt.Errorf("accept bare connections: %w", errors.ErrUnsupported)

func (l *NamedListener) acceptSocket() (*Socket, error) { return nil, errNoSockets }

func (l *NamedListener) setSocketKeepAlive(net.KeepAliveConfig) error { return errNoSockets }

// Local returns the address that the client connected to, as Peer does the client's.
func (s *Socket) Local() netip.AddrPort { return netip.AddrPort{} }

// Take returns the descriptor. There is none but on Linux.
func (s *Socket) Take() (fd int, err error) { return -1, errNoSockets }

// Conn makes the connection one that Accept would have returned.
func (s *Socket) Conn() (*TrackedConn, error) { return nil, errNoSockets }

func closeSocket(int) error { return errNoSockets }
