package against

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// politeLimit is how long processes may take to end by SIGTERM. No client is connected any more.
const politeLimit = 3 * time.Second

// keeperMain runs in the keeper: it starts the upstream at args[0] and args[1], if those are not empty, and the command
// after them. It waits for all that descends from it, and ends it when its standard input does.
func keeperMain(args []string) (status int) {
	// Signals to this process are mistakes of those who think that it is the server. Ignored ones would be inherited.
	signal.Notify(make(chan os.Signal, 1),
		unix.SIGHUP, unix.SIGINT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGPIPE)
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return complain("adopt orphans", err)
	}
	os.Unsetenv(roleEnv)
	if args[0] != "" {
		upstream, err := startUpstream(args[:2])
		if err != nil {
			return complain("start the upstream", err)
		}
		defer func() {
			upstream.Process.Kill()
			upstream.Wait() // or else this process would end before it
		}()
	}
	server := exec.Command(args[2], args[3:]...)
	server.Stdout, server.Stderr = os.Stderr, os.Stderr
	if err := server.Start(); err != nil {
		return complain("start", err)
	}
	stop, gone := make(chan struct{}), make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(stop)
	}()
	go reap(gone)
	select {
	case <-stop:
	case <-gone:
		return complain("keep", fmt.Errorf("%s has ended", args[2]))
	}
	signalAll(unix.SIGTERM)
	if until(gone, politeLimit, never) == errStopped {
		return 0
	}
	fmt.Fprintf(os.Stderr, "keeper: killed what did not end by SIGTERM: %s\n", strings.Join(names(), ", "))
	for until(gone, 100*time.Millisecond, never) != errStopped {
		signalAll(unix.SIGKILL)
	}
	return 1
}

func complain(step string, err error) int {
	fmt.Fprintf(os.Stderr, "keeper: %s: %v\n", step, err)
	return 1
}

// reap waits for all children, and closes gone when the peer has no process left.
func reap(gone chan<- struct{}) {
	defer close(gone)
	for {
		_, err := unix.Wait4(-1, nil, 0, nil)
		if err != nil && err != unix.EINTR || len(peerOf(os.Getpid())) == 0 {
			return
		}
	}
}

func never() (bool, error) { return false, nil }

func signalAll(sig syscall.Signal) {
	for _, pid := range peerOf(os.Getpid()) {
		unix.Kill(pid, sig)
	}
}

func names() (list []string) {
	for _, pid := range peerOf(os.Getpid()) {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		program, _, _ := bytes.Cut(line, []byte{0})
		list = append(list, fmt.Sprintf("%s (pid %d)", filepath.Base(string(program)), pid))
	}
	return list
}

// peerOf returns the peer's processes: a keeper's descendants without the upstream.
func peerOf(keeper int) []int {
	return slices.DeleteFunc(descendants(keeper), isUpstream)
}

// descendants returns the children of a process, and theirs.
func descendants(pid int) (all []int) {
	for _, child := range children(pid) {
		all = append(append(all, child), descendants(child)...)
	}
	return all
}

// children returns the children of all of a process's threads: see proc_pid_task(5).
func children(pid int) (all []int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		text, _ := os.ReadFile(list) // the thread may have ended
		for _, word := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(word); err == nil {
				all = append(all, child)
			}
		}
	}
	return all
}
