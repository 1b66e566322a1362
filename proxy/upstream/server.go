package upstream

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// A Server is one server of a pool. Its methods are safe for concurrent use.
type Server struct {
	address, network, target string
	hash                     uint64 // of the address, the same in every process
	active                   atomic.Int64

	// The pool's lock guards what follows.
	state     state
	since     time.Time
	until     time.Time // ejected: when it comes in again
	ejections int       // how many durations the last ejection took; see eject
	epoch     uint      // counts ejections of this process: a lease from before one says nothing after it
	row       int       // connections that failed in a row
	contrary  int       // checks in a row that contradict the state
	credit    int       // see rotate

	lastError   string
	lastFailure time.Time
	lastCheck   time.Time
	picks       uint64
	failures    uint64
	changes     uint64
}

// newServer makes a server of an address of the configuration: HOST:PORT or unix:PATH.
func newServer(address string) (*Server, error) {
	s := &Server{address: address, network: "tcp", target: address, hash: hashText(address), state: up, since: time.Now()}
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		if path == "" {
			return nil, fmt.Errorf("server %q: no path: give unix:/path", address)
		}
		s.network, s.target = "unix", path
		return s, nil
	}
	_, port, err := net.SplitHostPort(address)
	if err == nil && port == "" {
		err = errors.New("no port")
	}
	if err != nil {
		return nil, fmt.Errorf("server %q: %w: give HOST:PORT or unix:/path", address, err)
	}
	return s, nil
}

// Address returns the address as it was configured.
func (s *Server) Address() string { return s.address }

// Network returns "tcp" or "unix".
func (s *Server) Network() string { return s.network }

// Target returns what net.Dial takes beside Network: HOST:PORT, or the path of a Unix socket.
func (s *Server) Target() string { return s.target }

// Active returns how many leases of the server have not been released.
func (s *Server) Active() int { return int(s.active.Load()) }

// free tells whether the server may be picked by a caller that has tried some.
func (s *Server) free(tried []*Server) bool { return s.state == up && !slices.Contains(tried, s) }
