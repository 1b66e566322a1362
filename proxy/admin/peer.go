package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
)

// Restrict sets the mode of the socket at path to 0600, so that only its owner and root may connect. What is not a
// socket is refused. The name of an abstract socket, which starts with "@", has no mode: ConnContext alone guards it.
func Restrict(path string) error {
	if strings.HasPrefix(path, "@") {
		return nil
	}
	switch info, err := os.Lstat(path); { // not Stat: a link would have the mode of something else changed
	case err != nil:
		return fmt.Errorf("restrict the admin socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("restrict the admin socket %s: it is no socket but %s", path, info.Mode())
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return fmt.Errorf("restrict the admin socket: %w", err)
	}
	return nil
}

// peer is who has connected, or why that is not known.
type peer struct {
	uid int
	err error
}

type peerKey struct{}

// ConnContext asks the kernel who is at the other end of c. It is for an http.Server with a Handler of this package,
// which refuses everybody without it.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	var p peer
	p.uid, p.err = peerUID(c)
	return context.WithValue(ctx, peerKey{}, p)
}

// onlyOwner lets requests of the process's own user and of root pass.
func onlyOwner(uid int, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, ok := r.Context().Value(peerKey{}).(peer)
		switch {
		case !ok:
			refuse(w, http.StatusForbidden, "nobody has asked who connects: the server needs admin.ConnContext")
		case p.err != nil:
			refuse(w, http.StatusForbidden, "it is not known who connects, so nobody may: %v", p.err)
		case p.uid != uid && p.uid != 0:
			refuse(w, http.StatusForbidden, "only uid %d and root may; this is uid %d", uid, p.uid)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// peerUID looks through wrappers for the socket.
func peerUID(c net.Conn) (uid int, err error) {
	for {
		unix, ok := c.(*net.UnixConn)
		if ok {
			return socketPeer(unix)
		}
		wrapped, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return -1, fmt.Errorf("a %T is no Unix socket", c)
		}
		c = wrapped.NetConn()
	}
}

// askSocket runs ask on the descriptor.
func askSocket(c syscall.Conn, ask func(fd int) (uid int, err error)) (uid int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	ctrlErr := raw.Control(func(fd uintptr) { uid, err = ask(int(fd)) })
	if err = errors.Join(ctrlErr, err); err != nil {
		return -1, err
	}
	return uid, nil
}
