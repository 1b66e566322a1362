package upgrader

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/nettest"
)

func openFds(t *testing.T) *Fds {
	t.Helper()
	var o Options
	o.setDefaults()
	f := newFds(&o)
	f.open = true
	return f
}

// accepted runs a listener's accept loop, and returns the connections and at last its error.
func accepted(ln net.Listener) (<-chan net.Conn, <-chan error) {
	conns, end := make(chan net.Conn, 1000), make(chan error, 1)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				end <- err
				return
			}
			conns <- c
		}
	}()
	return conns, end
}

func TestPauseLeavesConnectionsToTheKernel(t *testing.T) {
	defer goleak.VerifyNone(t)
	f := openFds(t)
	ln, err := f.ListenNamed("web", "tcp", "127.0.0.1:0", TCP)
	if err != nil {
		t.Fatal(err)
	}
	conns, end := accepted(ln)
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	dial()
	(<-conns).Close()

	f.pause()
	f.pause() // is no different
	const dialed = 5
	for range dialed {
		dial()
	}
	time.Sleep(50 * time.Millisecond) // there is nothing to wait for
	if n := ln.conns.count(); n > 1 { // one may be that of an Accept which was in the kernel already
		t.Errorf("%d connections were accepted while paused", n)
	}
	f.resume()
	for range dialed {
		(<-conns).Close()
	}

	ln.Close()
	if err := <-end; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
	if n := ln.conns.count(); n != 0 {
		t.Errorf("%d connections at the end", n)
	}
	f.leave(func(*fd) bool { return false }, nil)
}

// Whoever connected to a listener before it was removed is served; whoever comes later is refused.
func TestRemoveDrainsTheQueue(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			defer goleak.VerifyNone(t)
			f := openFds(t)
			address := "127.0.0.1:0"
			if network == "unix" {
				address = filepath.Join(t.TempDir(), "s")
			}
			ln, err := f.ListenNamed("web", network, address, TCP)
			if err != nil {
				t.Fatal(err)
			}
			f.pause() // so that a queue builds up
			const queued = 100
			for range queued {
				c, err := net.Dial(network, ln.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
			}
			conns, end := accepted(ln)
			if err := f.Remove("web"); err != nil {
				t.Fatal(err)
			}
			if err := <-end; !errors.Is(err, net.ErrClosed) {
				t.Errorf("Accept at the end: %v", err)
			}
			if len(conns) != queued {
				t.Errorf("%d connections were served, %d were queued", len(conns), queued)
			}
			for len(conns) > 0 {
				(<-conns).Close()
			}
			if _, err := net.Dial(network, ln.Addr().String()); err == nil {
				t.Error("still accepts")
			}
			if err := f.Remove("web"); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("removed twice: %v", err)
			}
		})
	}
}

func TestListenNamedRefuses(t *testing.T) {
	f := openFds(t)
	ln, err := f.ListenNamed("web", "tcp", "127.0.0.1:0", HTTP)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, bad := range []struct{ name, network, address string }{
		{"", "tcp", "127.0.0.1:0"},
		{string(make([]byte, maxName+1)), "tcp", "127.0.0.1:0"},
		{"web", "tcp", "127.0.0.1:0"},                      // a second time
		{"other", "tcp", ln.Addr().String()},               // taken
		{"other", "tcp", "127.0.0.1:99999"},                // no port
		{"other", "carrier pigeon", "127.0.0.1:0"},         // no network
		{"other", "unix", "/does/not/exist/at/all"},        // no directory
		{"other", "unix", "/" + string(make([]byte, 200))}, // too long
	} {
		if ln, err := f.ListenNamed(bad.name, bad.network, bad.address, HTTP); err == nil {
			ln.Close()
			t.Errorf("%q %s %s: no error", bad.name, bad.network, bad.address)
		}
	}
	if n := len(f.List()); n != 1 {
		t.Errorf("%d fds are listed after refusals, want 1", n)
	}
}

func TestList(t *testing.T) {
	f := openFds(t)
	web, err := f.ListenNamed("web", "tcp", "127.0.0.1:0", HTTP)
	if err != nil {
		t.Fatal(err)
	}
	defer web.Close()
	packets, err := f.ListenPacketNamed("dns", "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := f.AddFile("null", file); err != nil {
		t.Fatal(err)
	}
	got := f.List()
	want := []FdInfo{
		{Kind: "fd", Name: "null"},
		{Kind: "listener", Name: "web", Network: "tcp", Address: "127.0.0.1:0", Addr: web.Addr(), Protocol: HTTP},
		{Kind: "packet", Name: "dns", Network: "udp", Address: "127.0.0.1:0"},
	}
	if len(got) != len(want) {
		t.Fatalf("listed %+v", got)
	}
	for i := range want {
		if got[i].Kind != want[i].Kind || got[i].Name != want[i].Name || got[i].Address != want[i].Address ||
			got[i].Protocol != want[i].Protocol || got[i].Addr != want[i].Addr {
			t.Errorf("listed %+v, want %+v", got[i], want[i])
		}
	}
}

func TestTrackedConnIsAConn(t *testing.T) {
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		f := openFds(t)
		ln, err := f.ListenNamed("web", "tcp", "127.0.0.1:0", TCP)
		if err != nil {
			return nil, nil, nil, err
		}
		client, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			return nil, nil, nil, err
		}
		server, err := ln.Accept()
		return client, server, func() {
			client.Close()
			server.Close()
			ln.Close()
			select {
			case <-ln.conns.none():
			default:
				t.Error("a closed connection is waited for")
			}
		}, err
	})
}

func TestUnixSocketLeftByAKilledProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)

	if _, err := openFds(t).ListenNamed("web", "unix", path, TCP); err == nil {
		t.Fatal("took the path of a listener that lives")
	}
	ln.Close()
	again, err := openFds(t).ListenNamed("web", "unix", path, TCP)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()

	file := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openFds(t).ListenNamed("web", "unix", file, TCP); err == nil {
		t.Error("listens in the place of a file")
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "precious" {
		t.Errorf("the file is %q, %v", text, err)
	}
}
