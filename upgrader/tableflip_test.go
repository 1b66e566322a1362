//go:build unix

package upgrader_test

import (
	"bytes"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The program from tableflip's README, its import path replaced, upgrades; and a running one of tableflip's own is
// taken over by one HUP.
func TestTableflipPrograms(t *testing.T) {
	one, err := os.ReadFile("internal/flipapp/original/app.go")
	if err != nil {
		t.Fatal(err)
	}
	two, err := os.ReadFile("internal/flipapp/replaced/app.go")
	if err != nil {
		t.Fatal(err)
	}
	one = bytes.ReplaceAll(one, []byte("github.com/cloudflare/tableflip"), []byte("github.com/seed-e3b9a99f/baton/upgrader"))
	one = bytes.ReplaceAll(one, []byte("ackage original"), []byte("ackage replaced"))
	if !bytes.Equal(one, two) {
		t.Fatal("the two programs differ in more than the import path")
	}

	for _, mode := range []string{"replaced", "tableflip"} {
		t.Run(mode, func(t *testing.T) {
			s := startService(t, settings{Mode: mode, Listeners: []listenerSetting{{"web", "tcp", freeAddress(t)}}})
			addr := s.address("web")
			_, at := s.awaitMsg(0, "flip ready")
			s.write(s.settings.with(func(n *settings) { n.Mode = "replaced" }))
			for range 5 {
				old := s.pid()
				refused := knock(addr)
				s.signal(old, syscall.SIGHUP)
				var l logLine
				l, at = s.awaitMsg(at, "flip ready")
				s.await(0, "in charge", func(line logLine) bool {
					return strings.Contains(line.raw, "in charge") && strings.Contains(line.raw, "pid="+itoa(l.PID))
				})
				if n := refused(); n > 0 {
					t.Errorf("%d connections refused or reset", n)
				}
				if s.pid() != l.PID {
					t.Errorf("the pid file names %d, in charge is %d", s.pid(), l.PID)
				}
				s.awaitGone(old) // until then it accepts too
				if got := s.get(addr); got != l.PID {
					t.Errorf("pid %d answers, want %d", got, l.PID)
				}
			}
		})
	}
}

// awaitGone waits for the end of a process of the service that logs nothing.
func (s *service) awaitGone(pid int) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); s.isOurs(pid); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("pid %d does not go", pid)
		}
	}
}

// knock opens one connection after the other until the returned function is called, which says how many failed. A
// program that drains with Shutdown loses requests on connections that it has accepted; what counts here is the
// listener's part.
func knock(addr string) func() int {
	quit, done := make(chan struct{}), make(chan int)
	go func() {
		refused := 0
		for {
			select {
			case <-quit:
				done <- refused
				return
			default:
			}
			c, err := net.Dial("tcp", addr)
			if err != nil {
				refused++
				continue
			}
			c.Close()
		}
	}()
	return func() int {
		close(quit)
		return <-done
	}
}
