package upgrader

import (
	"context"
	"fmt"
	"net"
	"os"

	"github.com/seed-e3b9a99f/baton/upgrader/internal/control"
)

// The calls in this file are tableflip v1.2.3's. They know an fd by its network and address, and return the standard
// library's own types, since programs assert *net.TCPListener. So both generations accept from them during probation,
// and their connections are the program's own to drain. ListenNamed does both for you.

// Listen returns a listener inherited from the parent process, or creates a new one.
func (f *Fds) Listen(network, addr string) (net.Listener, error) {
	return f.ListenWithCallback(network, addr, func(network, addr string) (net.Listener, error) {
		return f.listen.Listen(context.Background(), network, addr)
	})
}

// ListenWithCallback returns a listener inherited from the parent process, or calls the supplied callback to create
// one, which must be a Listener.
//
// The callback must not use Fds, which is locked during the call.
func (f *Fds) ListenWithCallback(network, addr string,
	callback func(network, addr string) (net.Listener, error)) (net.Listener, error) {
	f.mu.Lock()
	defer f.mu.Unlock()

	if ln, err := f.listenerLocked(network, addr); ln != nil || err != nil {
		return ln, err
	}
	ln, err := callback(network, addr)
	if err != nil {
		return nil, fmt.Errorf("can't create new listener: %w", err)
	}
	shared, ok := ln.(Listener)
	if !ok {
		ln.Close()
		return nil, fmt.Errorf("%T doesn't implement upgrader.Listener", ln)
	}
	if err := f.addListenerLocked(network, addr, shared); err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}

// Listener returns an inherited listener or nil.
//
// It is safe to close the returned listener.
func (f *Fds) Listener(network, addr string) (net.Listener, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.listenerLocked(network, addr)
}

func (f *Fds) listenerLocked(network, addr string) (net.Listener, error) {
	x := f.inheritedAs(fdKey{role: control.RoleListener, network: network, address: addr})
	if x == nil {
		return nil, nil
	}
	ln, err := net.FileListener(x.file)
	if err != nil {
		return nil, fmt.Errorf("can't inherit listener %s %s: %w", network, addr, err)
	}
	return ln, nil
}

// AddListener adds a listener.
//
// It is safe to close ln after calling the method. Any existing listener with the same address is overwritten.
func (f *Fds) AddListener(network, addr string, ln Listener) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.addListenerLocked(network, addr, ln)
}

func (f *Fds) addListenerLocked(network, addr string, ln Listener) error {
	keepPath(ln)
	_, err := f.add(fdKey{role: control.RoleListener, network: network, address: addr}, ln)
	return err
}

// keepPath leaves a Unix socket's path in the file system when this process closes its listener.
func keepPath(ln net.Listener) {
	if u, ok := ln.(interface{ SetUnlinkOnClose(bool) }); ok {
		u.SetUnlinkOnClose(false)
	}
}

// ListenPacket returns a packet conn inherited from the parent process, or creates a new one.
func (f *Fds) ListenPacket(network, addr string) (net.PacketConn, error) {
	return f.ListenPacketWithCallback(network, addr, func(network, addr string) (net.PacketConn, error) {
		return f.listen.ListenPacket(context.Background(), network, addr)
	})
}

// ListenPacketWithCallback returns a packet conn inherited from the parent process, or calls the supplied callback to
// create one, which must be a PacketConn.
//
// The callback must not use Fds, which is locked during the call.
func (f *Fds) ListenPacketWithCallback(network, addr string,
	callback func(network, addr string) (net.PacketConn, error)) (net.PacketConn, error) {
	return f.listenPacket(fdKey{role: control.RolePacketConn, network: network, address: addr}, callback)
}

func (f *Fds) listenPacket(key fdKey, open func(network, addr string) (net.PacketConn, error)) (net.PacketConn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()

	if conn, err := f.packetConnLocked(key); conn != nil || err != nil {
		return conn, err
	}
	conn, err := open(key.network, key.address)
	if err != nil {
		return nil, fmt.Errorf("can't create new packet conn: %w", err)
	}
	shared, ok := conn.(PacketConn)
	if !ok {
		conn.Close()
		return nil, fmt.Errorf("%T doesn't implement upgrader.PacketConn", conn)
	}
	if _, err := f.add(key, shared); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// PacketConn returns an inherited packet connection or nil.
//
// It is safe to close the returned packet connection.
func (f *Fds) PacketConn(network, addr string) (net.PacketConn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.packetConnLocked(fdKey{role: control.RolePacketConn, network: network, address: addr})
}

func (f *Fds) packetConnLocked(key fdKey) (net.PacketConn, error) {
	x := f.inheritedAs(key)
	if x == nil {
		return nil, nil
	}
	conn, err := net.FilePacketConn(x.file)
	if err != nil {
		return nil, fmt.Errorf("can't inherit packet conn %s %s: %w", key.network, key.address, err)
	}
	return conn, nil
}

// AddPacketConn adds a PacketConn.
//
// It is safe to close conn after calling the method. Any existing packet connection with the same address is
// overwritten.
func (f *Fds) AddPacketConn(network, addr string, conn PacketConn) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.add(fdKey{role: control.RolePacketConn, network: network, address: addr}, conn)
	return err
}

// Conn returns an inherited connection or nil.
//
// It is safe to close the returned Conn.
func (f *Fds) Conn(network, addr string) (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.inheritedAs(fdKey{role: control.RoleConn, network: network, address: addr})
	if x == nil {
		return nil, nil
	}
	conn, err := net.FileConn(x.file)
	if err != nil {
		return nil, fmt.Errorf("can't inherit connection %s %s: %w", network, addr, err)
	}
	return conn, nil
}

// AddConn adds a connection.
//
// It is safe to close conn after calling this method.
func (f *Fds) AddConn(network, addr string, conn Conn) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.add(fdKey{role: control.RoleConn, network: network, address: addr}, conn)
	return err
}

// Files returns all inherited files and marks them as used.
//
// The descriptors may be in blocking mode. The caller closes the files.
func (f *Fds) Files() ([]*os.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var files []*os.File
	for place, in := range f.inherited {
		if in == nil || in.key.role != control.RoleFile {
			continue
		}
		dup, err := dupConn(in.file, in.key.name)
		if err != nil {
			return nil, fmt.Errorf("can't inherit file %s: %w", in.key.name, err)
		}
		f.claim(place, in.key)
		files = append(files, dup)
	}
	return files, nil
}

// File returns an inherited file or nil.
//
// The descriptor may be in blocking mode. The caller closes the file.
func (f *Fds) File(name string) (*os.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.inheritedAs(fdKey{role: control.RoleFile, name: name})
	if x == nil {
		return nil, nil
	}
	dup, err := dupConn(x.file, name)
	if err != nil {
		return nil, fmt.Errorf("can't inherit file %s: %w", name, err)
	}
	return dup, nil
}

// AddFile adds a file. It is safe to close file after calling this method.
func (f *Fds) AddFile(name string, file *os.File) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.add(fdKey{role: control.RoleFile, name: name}, file)
	return err
}
