package upgrader

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/seed-e3b9a99f/baton/upgrader/internal/control"
)

// Listener can be shared between processes.
type Listener interface {
	net.Listener
	syscall.Conn
}

// PacketConn can be shared between processes.
type PacketConn interface {
	net.PacketConn
	syscall.Conn
}

// Conn can be shared between processes.
type Conn interface {
	net.Conn
	syscall.Conn
}

// Fds holds the file descriptors that pass from one generation to the next.
//
// What a call returns belongs to the caller, who closes it; Fds keeps a duplicate of its own until the process has
// been replaced or stops. An inherited fd that nothing asks for before Ready is not passed on any further: the parent
// closes it, a listener after its accept queue is empty.
type Fds struct {
	mu        sync.Mutex
	listen    *net.ListenConfig
	inherited []*inheritedFd // by its place in the parent's manifest; nil once it has been claimed
	claimed   []int
	used      map[fdKey]*fd
	open      bool // listeners accept; until then the kernel holds what arrives
	closed    bool // this process passes nothing on any more

	acceptors []*acceptor // also those of removed listeners, whose connections live on
}

// fdKey is what a process asks for. Fds from tableflip's calls have no name and are known by network and address.
type fdKey struct {
	role                   control.Role
	name, network, address string
}

// fd is one that the next generation gets a duplicate of.
type fd struct {
	key      fdKey
	protocol Protocol
	file     *os.File // ours alone
	ln       *NamedListener
	parents  bool // inherited: the parent may still need what it stands for in the file system
}

type inheritedFd struct {
	key      fdKey
	protocol Protocol
	file     *os.File
}

func newFds(opts *Options) *Fds {
	return &Fds{listen: opts.ListenConfig, used: make(map[fdKey]*fd)}
}

func (f *fd) entry() control.Entry {
	return control.Entry{
		Role: f.key.role, Name: []byte(f.key.name), Network: f.key.network, Address: []byte(f.key.address),
		Protocol: string(f.protocol),
	}
}

// inherit takes ownership of file, which came with the parent's manifest at this place.
func (f *Fds) inherit(place int, e control.Entry, file *os.File) {
	for len(f.inherited) <= place {
		f.inherited = append(f.inherited, nil)
	}
	f.inherited[place] = &inheritedFd{
		key:      fdKey{role: e.Role, name: string(e.Name), network: e.Network, address: string(e.Address)},
		protocol: Protocol(e.Protocol), file: file,
	}
}

// inheritedAs claims the inherited fd that key asks for: the one under that key, or else one of another name at the
// same address, which was renamed, or comes from a release that did not name it. It returns nil where there is none.
func (f *Fds) inheritedAs(key fdKey) *fd {
	place := f.lookup(func(k fdKey) bool { return k == key })
	if place < 0 && key.address != "" {
		place = f.lookup(func(k fdKey) bool {
			if k.name != "" && strings.HasSuffix(k.address, ":0") {
				return false // the address does not tell one from another
			}
			return k.role == key.role && k.network == key.network && k.address == key.address
		})
	}
	if place < 0 {
		return nil
	}
	return f.claim(place, key)
}

// lookup returns the place of an inherited fd, or -1.
func (f *Fds) lookup(match func(fdKey) bool) int {
	return slices.IndexFunc(f.inherited, func(in *inheritedFd) bool { return in != nil && match(in.key) })
}

// claim makes the inherited fd at place one of ours, under key.
func (f *Fds) claim(place int, key fdKey) *fd {
	in := f.inherited[place]
	f.inherited[place] = nil
	f.claimed = append(f.claimed, place)
	return f.use(&fd{key: key, protocol: in.protocol, file: in.file, parents: true})
}

// use passes x on to the next generation, in the place of an earlier one under the same key.
func (f *Fds) use(x *fd) *fd {
	if old := f.used[x.key]; old != nil {
		old.file.Close()
	}
	f.used[x.key] = x
	return x
}

// add keeps a duplicate of conn's fd. An inherited one under the same key is not asked for any more.
func (f *Fds) add(key fdKey, conn syscall.Conn) (*fd, error) {
	if f.closed {
		return nil, fmt.Errorf("add %s: %w", key, ErrStopped)
	}
	file, err := dupConn(conn, key.String())
	if err != nil {
		return nil, fmt.Errorf("add %s: %w", key, err)
	}
	return f.use(&fd{key: key, file: file}), nil
}

func (k fdKey) String() string {
	s := string(k.role)
	for _, part := range []string{k.name, k.network, k.address} {
		if part != "" {
			s += " " + part
		}
	}
	return s
}

// unixPath returns the path of a Unix socket that other processes find by it, and "" for all else.
func (k fdKey) unixPath() string {
	named := k.role == control.RoleListener && (k.network == "unix" || k.network == "unixpacket") ||
		k.role == control.RolePacketConn && k.network == "unixgram"
	if !named || k.address == "" || k.address[0] == '@' || k.address[0] == 0 { // abstract: unix(7)
		return ""
	}
	return k.address
}

func (k fdKey) removePath() {
	path := k.unixPath()
	if path == "" {
		return
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSocket != 0 {
		os.Remove(path)
	}
}

// snapshot returns what to pass on, in an order that does not change from one run to the next.
func (f *Fds) snapshot() []*fd {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]*fd, 0, len(f.used))
	for _, x := range f.used {
		all = append(all, x)
	}
	slices.SortFunc(all, func(a, b *fd) int { return cmp.Compare(a.key.String(), b.key.String()) })
	return all
}

// paths returns the Unix socket paths that this process uses.
func (f *Fds) paths() [][]byte {
	var paths [][]byte
	for _, x := range f.snapshot() {
		if path := x.key.unixPath(); path != "" {
			paths = append(paths, []byte(path))
		}
	}
	return paths
}

// closeInherited closes what nobody asked for. The parent has it still, unless it has gone; then nobody wants it.
func (f *Fds) closeInherited(parentGone bool) {
	inUse := f.paths()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, in := range f.inherited {
		if in == nil {
			continue
		}
		in.file.Close()
		if parentGone && !contains(inUse, in.key.unixPath()) {
			in.key.removePath()
		}
	}
	f.inherited = nil
}

func contains(paths [][]byte, path string) bool {
	return slices.ContainsFunc(paths, func(p []byte) bool { return string(p) == path })
}

// leave ends the process's part in all fds. One that nobody shares has its queue drained, and a path that nobody shares
// is removed.
func (f *Fds) leave(shared func(*fd) bool, sharedPaths [][]byte) {
	f.mu.Lock()
	f.closed = true
	all := f.used
	f.used = make(map[fdKey]*fd)
	f.mu.Unlock()
	for _, x := range all {
		kept := shared(x)
		if !kept && !contains(sharedPaths, x.key.unixPath()) {
			x.key.removePath()
		}
		if x.ln != nil {
			x.ln.leave(kept)
		}
		x.file.Close()
	}
}

// watched returns all that a drain has to wait for.
func (f *Fds) watched() []*acceptor {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.acceptors)
}

// pause keeps listeners from accepting; the kernel queues what arrives.
func (f *Fds) pause() {
	f.setOpen(false, (*acceptor).pause)
}

// resume lets listeners accept.
func (f *Fds) resume() {
	f.setOpen(true, (*acceptor).resume)
}

func (f *Fds) setOpen(open bool, each func(*acceptor)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open = open
	for _, a := range f.acceptors {
		each(a)
	}
}
