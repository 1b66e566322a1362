package control

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func init() { helpers["few-fds"] = receiveWithFewFds }

// receiveWithFewFds is a process that has room for some of a frame's fds only, see TestNoRoomForFds.
func receiveWithFewFds() int {
	c, err := New(os.NewFile(3, "control"))
	if err != nil {
		fmt.Println(err)
		return 1
	}
	before, err := countFds()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		fmt.Println(err)
		return 1
	}
	for _, max := range []uint64{uint64(before) + 5, 3} { // room for some, and for none
		few := limit
		few.Cur = max
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
			fmt.Println(err)
			return 1
		}
		m, err := c.Receive()
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			fmt.Println(err)
			return 1
		}
		after, _ := countFds()
		fmt.Printf("%d fds, %v, %d open more\n", len(m.Files), err, after-before)
	}
	m, err := c.Receive()
	fmt.Printf("kind %d, %v\n", m.Kind, err)
	return 0
}

// The kernel drops the fds that the receiver's table has no room for, and says so with MSG_CTRUNC.
func TestNoRoomForFds(t *testing.T) {
	forSockets(t, func(t *testing.T, typ int) {
		a, f := rawPair(t, typ)
		entries, files := newFiles(t, 50)
		for range 2 {
			if err := a.SendFiles(entries, files); err != nil {
				t.Fatal(err)
			}
		}
		send(t, a, Message{Kind: Complete})
		var out strings.Builder
		cmd := helperTo(t, "few-fds", f, &out)
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
		lines := strings.Split(out.String(), "\n")
		if len(lines) != 4 || lines[2] != fmt.Sprintf("kind %d, <nil>", Complete) {
			t.Fatalf("helper: %q", lines)
		}
		for i, line := range lines[:2] {
			if !strings.HasPrefix(line, "0 fds, control frame of kind 2: ") || !strings.Contains(line, "ulimit -n") ||
				!strings.HasSuffix(line, ", 0 open more") || strings.Contains(line, ": 0 of 50 fds") != (i == 1) {
				t.Errorf("helper: %s", line)
			}
		}
	})
}
