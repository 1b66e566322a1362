//go:build unix

package upgrader_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/upgrader"
)

func TestListenersOfEveryKindPass(t *testing.T) {
	dir := t.TempDir()
	listeners := []listenerSetting{
		{"four", "tcp4", "127.0.0.1:0"}, {"six", "tcp6", "[::1]:0"}, {"another", "tcp", "127.0.0.1:0"},
		{"path", "unix", filepath.Join(dir, "web.sock")},
	}
	if runtime.GOOS == "linux" {
		listeners = append(listeners, listenerSetting{"abstract", "unix", "@baton-test-" + itoa(os.Getpid())})
	}
	s := startService(t, settings{Probation: upgrader.NoProbation, Listeners: listeners})
	s.awaitPhase(0, 1, "serving")
	bound := make(map[string]string)
	for _, l := range listeners {
		bound[l.Name] = s.address(l.Name)
	}
	if bound["four"] == bound["another"] {
		t.Fatal("two names share a listener")
	}
	from := s.since()
	s.upgrade(2)
	s.awaitPhase(0, 1, "exited")
	for _, l := range listeners {
		got, _ := s.await(from, l.Name, func(line logLine) bool { return line.Msg == "bound" && line.Name == l.Name })
		if got.Addr != bound[l.Name] || !got.Inherited {
			t.Errorf("%s: was at %s, is at %s, inherited: %v", l.Name, bound[l.Name], got.Addr, got.Inherited)
		}
		c, err := net.Dial(l.Network, bound[l.Name])
		if err != nil {
			t.Fatal(err)
		}
		if a := s.ask(c, bufio.NewReader(c)); a.generation != 2 {
			t.Errorf("%s: generation %d answers", l.Name, a.generation)
		}
		c.Close()
	}
	s.signal(s.pid(), syscall.SIGTERM)
	s.awaitPhase(0, 2, "exited")
	if _, err := os.Stat(filepath.Join(dir, "web.sock")); !os.IsNotExist(err) {
		t.Errorf("the socket's path is still there after a stop: %v", err)
	}
}

// A name with another address is a new listener, and what waits in the old one's queue is served.
func TestListenerMoves(t *testing.T) {
	dir := t.TempDir()
	oldPath, newPath := filepath.Join(dir, "old.sock"), filepath.Join(dir, "new.sock")
	s := startService(t, settings{Probation: 200 * time.Millisecond, Listeners: []listenerSetting{
		{"web", "unix", oldPath}, {"stays", "tcp", "127.0.0.1:0"}, {"goes", "tcp", "127.0.0.1:0"},
	}})
	s.awaitPhase(0, 1, "serving")
	goes := s.address("goes")
	s.write(s.settings.with(func(n *settings) {
		n.Listeners = []listenerSetting{{"web", "unix", newPath}, {"stays", "tcp", "127.0.0.1:0"}}
	}))
	from, pid := s.since(), s.pid()
	s.signal(pid, syscall.SIGHUP)
	s.awaitPhase(from, 1, "probation") // from here on the parent does not accept, and what it alone has is queued
	var queued []net.Conn
	for _, at := range []struct{ network, address string }{{"unix", oldPath}, {"tcp", goes}} {
		for range 20 {
			c, err := net.Dial(at.network, at.address)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			queued = append(queued, c)
		}
	}
	s.awaitPhase(from, 2, "serving")
	s.awaitPhase(from, 1, "draining")
	for _, c := range queued {
		a := s.ask(c, bufio.NewReader(c))
		if c.RemoteAddr().Network() == "unix" { // its listener has moved, and takes the connection along
			if a.generation != 2 || a.closes {
				t.Errorf("queued at %s: %+v", c.RemoteAddr(), a)
			}
		} else if a.generation != 1 || !a.closes {
			t.Errorf("queued at %s: %+v", c.RemoteAddr(), a)
		}
		c.Close()
	}
	s.awaitPhase(0, 1, "exited")
	if _, err := os.Stat(oldPath); !os.IsNotExist(err) {
		t.Errorf("the path of the old listener is still there: %v", err)
	}
	if c, err := net.Dial("tcp", goes); err == nil {
		c.Close()
		t.Error("the listener that was dropped still accepts")
	}
	c, err := net.Dial("unix", newPath)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if a := s.ask(c, bufio.NewReader(c)); a.generation != 2 {
		t.Errorf("new address: %+v", a)
	}
}

// A child that is refused takes nothing of its parent's along.
func TestRefusedChildLeavesSocketsAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.sock")
	s := startService(t, settings{Probation: short, Listeners: []listenerSetting{{"web", "unix", path}}})
	s.awaitPhase(0, 1, "serving")
	for _, fault := range []string{"unhealthy", "dies at commit"} {
		s.write(s.settings.with(func(n *settings) { n.Fault = fault }))
		s.refused()
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		if a := s.ask(c, bufio.NewReader(c)); a.generation != 1 {
			t.Errorf("%s: generation %d answers", fault, a.generation)
		}
		c.Close()
	}
}

// What a killed process has left behind does not keep the next one from starting.
func TestStartAfterKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.sock")
	s := startService(t, settings{Listeners: []listenerSetting{{"web", "unix", path}}})
	s.awaitPhase(0, 1, "serving")
	old := s.pid()
	s.signal(old, syscall.SIGKILL)
	s.mu.Lock()
	for !s.ended {
		s.news.Wait()
	}
	s.ended, s.lines = false, nil
	s.mu.Unlock()
	s.launch()
	l, _ := s.awaitPhase(0, 1, "serving")
	if s.pid() != l.PID || l.PID == old {
		t.Errorf("the pid file names %d, in charge is %d", s.pid(), l.PID)
	}
}

func TestPacketConnsConnsAndFilesPass(t *testing.T) {
	peer, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	journal := filepath.Join(t.TempDir(), "journal")
	t.Setenv("BATON_TEST_PEER", peer.Addr().String())
	t.Setenv("BATON_TEST_JOURNAL", journal)
	s := startService(t, settings{Mode: "fds", Probation: upgrader.NoProbation})
	s.awaitPhase(0, 1, "serving")
	conn, err := peer.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	udp, err := net.Dial("udp", s.address("packets"))
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	said := bufio.NewReader(conn)
	if err := os.Rename(journal, journal+".1"); err != nil { // a file is its fd, not its name
		t.Fatal(err)
	}
	for generation := 1; generation < 4; generation++ {
		hello := "generation " + itoa(generation) + "\n"
		if got, err := said.ReadString('\n'); err != nil || got != hello {
			t.Fatalf("on the connection: %q, %v", got, err)
		}
		if _, err := udp.Write([]byte("who?")); err != nil {
			t.Fatal(err)
		}
		_ = udp.SetReadDeadline(time.Now().Add(patience))
		buf := make([]byte, 100)
		if n, err := udp.Read(buf); err != nil || string(buf[:n]) != hello {
			t.Fatalf("from the packet conn: %q, %v", buf[:n], err)
		}
		s.upgrade(generation + 1)
		s.awaitPhase(0, generation, "exited")
	}
	text, err := os.ReadFile(journal + ".1")
	if err != nil || string(text) != "generation 1\ngeneration 2\ngeneration 3\ngeneration 4\n" {
		t.Errorf("the journal says %q, %v", text, err)
	}
}

func TestListenAndServe(t *testing.T) {
	for _, mode := range []string{"drop-in", "drop-in TLS"} {
		t.Run(mode, func(t *testing.T) {
			pidFile := filepath.Join(t.TempDir(), "app.pid")
			writeCertificate(t, pidFile+".crt", pidFile+".key")
			address := freeAddress(t)
			s := startService(t, settings{
				Mode: mode, PIDFile: pidFile, Probation: short, Listeners: []listenerSetting{{"http", "tcp", address}},
			})
			s.awaitPhase(0, 1, "serving")
			p := &poster{dial: func() (net.Conn, error) {
				if mode == "drop-in TLS" {
					return tls.Dial("tcp", address, insecure)
				}
				return net.Dial("tcp", address)
			}}
			for generation := 2; generation < 5; generation++ {
				if err := p.post(generation); err != nil {
					t.Fatal(err)
				}
				s.upgrade(generation)
			}
			s.signal(s.pid(), syscall.SIGTERM)
			s.await(0, "http: Server closed", func(l logLine) bool { return l.raw == "http: Server closed" })
		})
	}
}

// An inherited listener gives connections the ListenConfig's keep-alive setting, as one that was opened here does.
func TestKeepAliveSurvives(t *testing.T) {
	s := startService(t, settings{Probation: upgrader.NoProbation, Fault: "no keep-alive"})
	addr := s.address("web")
	s.awaitPhase(0, 1, "serving")
	s.upgrade(2)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("GET /keepalive HTTP/1.1\r\nHost: test\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(resp.Body); err != nil || string(got) != "0" {
		t.Errorf("SO_KEEPALIVE is %q, %v, and was switched off", got, err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}
