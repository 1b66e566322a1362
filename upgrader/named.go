package upgrader

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/seed-e3b9a99f/baton/upgrader/internal/control"
)

// Protocol labels a named listener with what is spoken on it. It is passed on and listed; nothing is done with it.
type Protocol string

// The protocols of listeners.
const (
	HTTP Protocol = "http"
	TCP  Protocol = "tcp"
	TLS  Protocol = "tls"
)

// ListenNamed returns the listener called name: the inherited one if it has this network and address, or else a new
// one. Network is "tcp", "tcp4", "tcp6", "unix" or "unixpacket"; an address with port 0 keeps its port across upgrades.
//
// A name outlives its address. A child that asks for the name with another address gets a new listener, and the parent
// serves what waits in the old one's accept queue before it closes it.
//
// Accept begins to return connections when this process serves: after Ready, and in a child when its parent has
// stopped accepting. At the next upgrade or stop it returns net.ErrClosed. Upgrader counts the connections until they
// are closed, and drains them. They are no *net.TCPConn; see [TrackedConn].
func (f *Fds) ListenNamed(name, network, address string, protocol Protocol) (*NamedListener, error) {
	f.mu.Lock()
	defer f.mu.Unlock()

	if name == "" {
		return nil, errors.New("listener without a name: use Listen, or give it one")
	}
	if len(name) > maxName {
		return nil, fmt.Errorf("listener name of %d bytes: at most %d", len(name), maxName)
	}
	if other := f.byName(name); other != nil {
		return nil, fmt.Errorf("listener %q is open already, on %s %s", name, other.key.network, other.key.address)
	}
	key := fdKey{role: control.RoleListener, name: name, network: network, address: address}
	x, raw, err := f.openNamed(key)
	if err != nil {
		return nil, fmt.Errorf("listener %q: %w", name, err)
	}
	x.protocol = protocol
	x.ln = newNamedListener(f, x, raw)
	return x.ln, nil
}

// maxName leaves room for a name and an address in one control frame.
const maxName = 1024

func (f *Fds) byName(name string) *fd {
	for _, x := range f.used {
		if x.key.role == control.RoleListener && x.key.name == name {
			return x
		}
	}
	return nil
}

// has tells whether the listener called name is open.
func (f *Fds) has(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.byName(name) != nil
}

// stoppable is a listener whose Accept a deadline interrupts: *net.TCPListener and *net.UnixListener.
type stoppable interface {
	Listener
	deadliner
}

func (f *Fds) openNamed(key fdKey) (*fd, stoppable, error) {
	if x := f.inheritedAs(key); x != nil {
		ln, err := net.FileListener(x.file)
		if err != nil {
			return nil, nil, fmt.Errorf("inherit %s %s: %w", key.network, key.address, err)
		}
		return x, ln.(stoppable), nil
	}
	ln, err := f.listen.Listen(context.Background(), key.network, key.address)
	if errors.Is(err, syscall.EADDRINUSE) && removeStale(key) {
		ln, err = f.listen.Listen(context.Background(), key.network, key.address)
	}
	if err != nil {
		return nil, nil, err
	}
	raw, ok := ln.(stoppable)
	if !ok {
		ln.Close()
		return nil, nil, fmt.Errorf("network %q has no listeners that can be passed on", key.network)
	}
	keepPath(raw)
	x, err := f.add(key, raw)
	if err != nil {
		ln.Close()
		return nil, nil, err
	}
	return x, raw, nil
}

// removeStale removes the Unix socket that a killed process has left behind: one that nobody listens on.
func removeStale(key fdKey) bool {
	path := key.unixPath()
	if path == "" {
		return false
	}
	c, err := net.Dial(key.network, path)
	if err == nil {
		c.Close()
		return false
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return false
	}
	key.removePath()
	_, err = os.Lstat(path)
	return errors.Is(err, os.ErrNotExist)
}

// ListenPacketNamed returns the packet conn called name, inherited or new, as ListenNamed does for listeners. Network
// is "udp", "udp4", "udp6" or "unixgram". Both generations may read from it during an upgrade, and the caller stops
// reading at Exit.
func (f *Fds) ListenPacketNamed(name, network, address string) (net.PacketConn, error) {
	if name == "" {
		return nil, errors.New("packet conn without a name: use ListenPacket, or give it one")
	}
	key := fdKey{role: control.RolePacketConn, name: name, network: network, address: address}
	return f.listenPacket(key, func(network, address string) (net.PacketConn, error) {
		return f.listen.ListenPacket(context.Background(), network, address)
	})
}

// Remove closes the listener called name, after its Accept has returned every connection that the kernel had accepted
// for it. The next generation does not get it.
func (f *Fds) Remove(name string) error {
	f.mu.Lock()
	x := f.byName(name)
	if x == nil {
		f.mu.Unlock()
		return fmt.Errorf("listener %q: %w", name, os.ErrNotExist)
	}
	delete(f.used, x.key)
	f.mu.Unlock()
	x.key.removePath()
	if x.ln != nil {
		x.ln.leave(false)
	}
	return x.file.Close()
}

// FdInfo describes one fd that the next generation would get.
type FdInfo struct {
	Kind     string // "listener", "packet", "conn" or "fd"
	Name     string // "" for what tableflip's calls opened, which go by address
	Network  string
	Address  string   // as it was asked for
	Addr     net.Addr // as it is bound, for named listeners
	Protocol Protocol
	Conns    int // open connections, for named listeners
}

// List returns what the next generation would get, in a stable order.
func (f *Fds) List() []FdInfo {
	var infos []FdInfo
	for _, x := range f.snapshot() {
		info := FdInfo{
			Kind: string(x.key.role), Name: x.key.name, Network: x.key.network, Address: x.key.address,
			Protocol: x.protocol,
		}
		if x.ln != nil {
			info.Addr, info.Conns = x.ln.Addr(), x.ln.conns.count()
		}
		infos = append(infos, info)
	}
	return infos
}
