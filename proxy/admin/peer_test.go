package admin

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestOnlyTheOwnerAndRoot(t *testing.T) {
	const uid = 1000
	h := onlyOwner(uid, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	}))
	for _, c := range []struct {
		peer any
		code int
		says string
	}{
		{peer{uid: uid}, http.StatusNoContent, ""},
		{peer{uid: 0}, http.StatusNoContent, ""},
		{peer{uid: 1001}, http.StatusForbidden, "only uid 1000 and root may; this is uid 1001"},
		{peer{uid: uid, err: errors.New("broken")}, http.StatusForbidden, "not known who connects, so nobody may: broken"},
		{nil, http.StatusForbidden, "the server needs admin.ConnContext"},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(context.WithValue(t.Context(), peerKey{}, c.peer), "GET", "/", nil)
		h.ServeHTTP(w, r)
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%+v: status %d: %s", c.peer, w.Code, w.Body)
		}
	}
}

// wrapped is a connection as package upgrader hands it out.
type wrapped struct{ net.Conn }

func (w wrapped) NetConn() net.Conn { return w.Conn }

func TestConnContextAsksTheKernel(t *testing.T) {
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("unix", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, c := range []net.Conn{conn, wrapped{wrapped{conn}}} {
		got := ConnContext(t.Context(), c).Value(peerKey{}).(peer)
		if known := runtime.GOOS == "linux" || runtime.GOOS == "darwin" || runtime.GOOS == "freebsd"; !known {
			if !errors.Is(got.err, errors.ErrUnsupported) {
				t.Errorf("%T: %+v", c, got)
			}
		} else if got != (peer{uid: os.Geteuid()}) {
			t.Errorf("%T: %+v, want this process's uid", c, got)
		}
	}
	conn.Close()
	pipe, _ := net.Pipe()
	for _, c := range []net.Conn{conn, pipe, wrapped{pipe}} {
		if got := ConnContext(t.Context(), c).Value(peerKey{}).(peer); got.err == nil {
			t.Errorf("%T: %+v, want an error", c, got)
		}
	}
}

func TestRestrict(t *testing.T) {
	dir := t.TempDir()
	file, link, socket := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "socket")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if err := os.Chmod(socket, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(socket, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, link, filepath.Join(dir, "none")} {
		if err := Restrict(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := Restrict("@abstract"); err != nil {
		t.Error(err)
	}
	mode := func(path string) os.FileMode {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	if mode(socket) != 0o777 || mode(file) != 0o644 {
		t.Error("what was refused has another mode now")
	}
	if err := Restrict(socket); err != nil || mode(socket) != 0o600 {
		t.Errorf("the mode is %o (%v)", mode(socket), err)
	}
}
