//go:build unix

package upgrader_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/upgrader"
)

// session is one of a protocol of the tests' own: each line is answered with the generation, and how many there were. It
// lives in memory and in a socket, and moves with both.
type session struct {
	Name  string
	Count int
	conn  net.Conn
}

// sessions are those of one generation.
type sessions struct {
	settings
	u  *upgrader.Upgrader
	mu sync.Mutex
	n  int
}

// passSessions serves the listener of sessions on 127.0.0.1, where there is one.
func (s settings) passSessions(u *upgrader.Upgrader) error {
	if s.Mode != "sessions" {
		return nil
	}
	all := &sessions{settings: s, u: u}
	if s.Fault != "knows no sessions" {
		if err := u.OnParcel("session", all.receive); err != nil {
			return err
		}
	}
	ln, err := u.ListenNamed("sessions", "tcp", "127.0.0.1:0", upgrader.TCP)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, `{"msg":"bound","name":"sessions","addr":%q}`+"\n", ln.Addr())
	leaving := make(chan struct{})
	var once sync.Once
	u.OnHandover(func() { once.Do(func() { close(leaving) }) }) // and a rollback leaves them where they are
	u.Go(func() error {
		for {
			c, err := ln.Accept()
			if err != nil {
				return err
			}
			go all.serve(&session{conn: c}, leaving)
		}
	})
	return nil
}

func (s *sessions) receive(p upgrader.Parcel) error {
	s.mu.Lock()
	s.n++
	n := s.n
	s.mu.Unlock()
	switch s.Fault {
	case "refuses sessions":
		return errors.New("no room for " + string(p.Data))
	case "panics over sessions":
		panic("over " + string(p.Data))
	case "dies of sessions":
		if n == 3 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	moved := &session{}
	if err := json.Unmarshal(p.Data, moved); err != nil {
		return err
	}
	c, err := net.FileConn(p.Files[0])
	if err != nil {
		return err
	}
	p.Files[0].Close()
	moved.conn = c
	s.u.Go(func() error {
		s.serve(moved, nil)
		return nil
	})
	return nil
}

// serve answers lines. A session that is idle when the service is handed over moves: it sends itself.
func (s *sessions) serve(who *session, leaving <-chan struct{}) {
	defer who.conn.Close()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-leaving:
			_ = who.conn.SetReadDeadline(time.Now())
		case <-stop:
		}
	}()
	r := bufio.NewReader(who.conn)
	for {
		line, err := r.ReadString('\n')
		if errors.Is(err, os.ErrDeadlineExceeded) {
			_ = who.conn.SetReadDeadline(time.Time{})
			err := s.send(who)
			if err == nil {
				return
			}
			fmt.Fprintf(os.Stderr, `{"msg":"session stays","err":%q}`+"\n", err)
			continue
		}
		if err != nil {
			return
		}
		who.Name, who.Count = strings.TrimSpace(line), who.Count+1
		fmt.Fprintf(who.conn, "%s %d %d\n", who.Name, who.Count, s.u.Generation())
	}
}

func (s *sessions) send(who *session) error {
	raw, err := who.conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	var file *os.File
	if err := raw.Control(func(fd uintptr) {
		if dup, err := syscall.Dup(int(fd)); err == nil {
			file = os.NewFile(uintptr(dup), "session")
		}
	}); err != nil {
		return err
	}
	defer file.Close()
	data, err := json.Marshal(who)
	if err != nil {
		return err
	}
	return s.u.SendParcel(upgrader.Parcel{Kind: "session", Data: data, Files: []*os.File{file}})
}

func startSessions(t *testing.T) (*service, []client) {
	t.Helper()
	s := startService(t, settings{Mode: "sessions", Probation: upgrader.NoProbation})
	s.awaitPhase(0, 1, "serving")
	conns := dialMany(t, s.address("sessions"), 10)
	for i, c := range conns {
		c.says(t, fmt.Sprintf("session%d", i), 1, 1)
	}
	return s, conns
}

func (c client) says(t *testing.T, name string, count, generation int) {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, name+"\n"); err != nil {
		t.Fatal(err)
	}
	line, err := c.r.ReadString('\n')
	if want := fmt.Sprintf("%s %d %d\n", name, count, generation); err != nil || line != want {
		t.Errorf("got %q, %v; want %q", line, err, want)
	}
}

// Sessions of a program's own protocol move with what they know.
func TestSessionsMove(t *testing.T) {
	t.Parallel()
	s, conns := startSessions(t)
	s.upgrade(2)
	s.awaitPhase(0, 1, "exited")
	for i, c := range conns {
		c.says(t, fmt.Sprintf("session%d", i), 2, 2)
	}
}

// Where they cannot move, they stay, with the reason; and the parent lives until they end.
func TestSessionsStay(t *testing.T) {
	t.Parallel()
	for fault, reason := range map[string]string{
		"refuses sessions":  "no room for",
		"knows no sessions": upgrader.ErrNoReceiver.Error(),
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			s, conns := startSessions(t)
			bad := s.settings
			bad.Fault = fault
			s.write(bad)
			s.upgrade(2)
			s.awaitPhase(0, 1, "draining")
			for i, c := range conns {
				c.says(t, fmt.Sprintf("session%d", i), 2, 1)
				c.Close()
			}
			l, _ := s.awaitMsg(0, "session stays")
			if !strings.Contains(fmt.Sprint(l.Err), reason) {
				t.Errorf("stayed because of %v, want %q", l.Err, reason)
			}
			s.awaitPhase(0, 1, "exited")
		})
	}
}

// A receiver that takes its process down gives the service back, with all that it had not accepted.
func TestSessionsAreTakenBack(t *testing.T) {
	t.Parallel()
	for fault, lost := range map[string]int{"panics over sessions": 0, "dies of sessions": 2} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			s, conns := startSessions(t)
			bad := s.settings
			bad.Fault = fault
			s.write(bad)
			from := s.since()
			s.signal(s.pid(), syscall.SIGHUP)
			_, at := s.awaitPhase(from, 1, "handing over")
			for range len(conns) - lost { // each is told that the receiver has gone
				var l logLine
				l, at = s.awaitMsg(at, "session stays")
				if !strings.Contains(fmt.Sprint(l.Err), upgrader.ErrReceiverGone.Error()) &&
					!strings.Contains(fmt.Sprint(l.Err), upgrader.ErrNoReceiver.Error()) {
					t.Errorf("stayed because of %v", l.Err)
				}
			}
			kept := 0
			for i, c := range conns {
				_ = c.SetDeadline(time.Now().Add(patience))
				if _, err := fmt.Fprintf(c, "session%d\n", i); err != nil {
					continue
				}
				if line, err := c.r.ReadString('\n'); err == nil {
					kept++
					if want := fmt.Sprintf("session%d 2 1\n", i); line != want {
						t.Errorf("got %q, want %q", line, want)
					}
				}
			}
			if kept != len(conns)-lost {
				t.Errorf("%d of %d sessions live; the child had taken %d", kept, len(conns), lost)
			}
		})
	}
}
