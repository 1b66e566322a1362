package relay

import (
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// helpers are what the test binary does when a test runs it again.
var helpers = map[string]func() error{}

func TestMain(m *testing.M) {
	if name := os.Getenv("RELAY_TEST_HELPER"); name != "" {
		if err := helpers[name](); err != nil {
			fmt.Fprintln(os.Stderr, name+":", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// newEngine returns an engine that is closed at the end of the test, when no descriptor may be left.
func newEngine(t testing.TB) *Engine {
	t.Helper()
	checkFDs(t)
	return openEngine(t)
}

// newEngines is newEngine for two.
func newEngines(t testing.TB) (a, b *Engine) {
	t.Helper()
	checkFDs(t)
	return openEngine(t), openEngine(t)
}

func openEngine(t testing.TB) *Engine {
	t.Helper()
	e, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		if n := e.Len(); n != 0 {
			t.Errorf("a closed engine has %d relays", n)
		}
	})
	return e
}

// checkFDs fails t if more descriptors are open at its end than now.
func checkFDs(t testing.TB) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0") // Go's poller keeps two descriptors from its first use on
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	before := openFDs()
	t.Cleanup(func() {
		if after := openFDs(); len(after) > len(before) {
			t.Errorf("%d descriptors open, %d before: %v", len(after), len(before), after)
		}
	})
}

func openFDs() []string {
	const dir = "/proc/self/fd"
	entries, _ := os.ReadDir(dir) // none elsewhere than on Linux
	var open []string
	for _, e := range entries {
		to, _ := os.Readlink(dir + "/" + e.Name())
		open = append(open, e.Name()+" "+to)
	}
	return open
}

// dial returns the two ends of a new TCP connection.
func dial(t testing.TB) (near, far *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	a, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); a.Close() })
	return c.(*net.TCPConn), a.(*net.TCPConn)
}

// dialUnix returns the two ends of a new Unix connection.
func dialUnix(t testing.TB) (near, far *net.UnixConn) {
	t.Helper()
	dir, err := os.MkdirTemp("", "relay")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ln, err := net.Listen("unix", dir+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("unix", dir+"/s")
	if err != nil {
		t.Fatal(err)
	}
	a, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); a.Close() })
	return c.(*net.UnixConn), a.(*net.UnixConn)
}

// bound returns a configuration whose end can be waited for.
func bound() (Config, func(t testing.TB) Result) {
	ended := make(chan Result, 1)
	return Config{OnEnd: func(r Result) { ended <- r }}, func(t testing.TB) Result {
		t.Helper()
		select {
		case r := <-ended:
			return r
		case <-time.After(10 * time.Second):
			t.Fatal("the relay does not end")
			return Result{}
		}
	}
}

// start relays between two new connections and returns the outer ends.
func start(t testing.TB, e *Engine, cfg Config) (client, server *net.TCPConn, r *Relay) {
	t.Helper()
	client, a := dial(t)
	b, server := dial(t)
	r, err := e.Relay(a, b, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return client, server, r
}
