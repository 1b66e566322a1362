package against

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// roleEnv says, in a process that this package has started out of the program it is part of, what that process is for.
const roleEnv = "BATON_AGAINST_ROLE"

// Reexec is to be called first in main. In a process that this package has started it does what that process is for,
// and never returns; in all others it returns at once.
func Reexec() {
	switch os.Getenv(roleEnv) {
	case "":
	case "keeper":
		os.Exit(keeperMain(os.Args[1:]))
	case "upstream":
		os.Exit(upstreamMain(os.Args[1:]))
	default:
		os.Exit(2)
	}
}

// keeper is the process that keeps a peer's. It is apart from this one because orphans of its descendants fall to it,
// and because some libraries send SIGTERM to their parent, whoever that is by then (endless).
type keeper struct {
	cmd  *exec.Cmd
	hold *os.File // the keeper ends everything when this is closed
	log  string
	done chan struct{}
	err  error // how it ended, after done
}

// stopLimit is how long the keeper may take to end everything, and more than it takes.
const stopLimit = politeLimit + 10*time.Second

// keep starts a keeper that starts the upstream, if wanted, and the command.
func keep(s *site, upstream bool, args []string) (*keeper, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	k := &keeper{log: s.path("log"), done: make(chan struct{})}
	log, err := os.OpenFile(k.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	held, hold, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer held.Close()
	to := addresses{}
	if upstream {
		to = s.To
	}
	k.cmd = exec.Command(self, slices.Concat([]string{to.HTTP, to.TCP}, args)...)
	k.cmd.Dir = s.Dir
	k.cmd.Env = append(cleanEnv(s.Dir), roleEnv+"=keeper")
	k.cmd.Stdin, k.cmd.Stdout, k.cmd.Stderr = held, log, log
	k.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's Ctrl-C is not for the peers
	if err := k.cmd.Start(); err != nil {
		hold.Close()
		return nil, err
	}
	k.hold = hold
	go func() {
		k.err = k.cmd.Wait()
		close(k.done)
	}()
	return k, nil
}

// cleanEnv is this process's environment without what would mislead a server, and with a home that it may fill.
func cleanEnv(home string) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return slices.ContainsFunc([]string{
			"LISTEN_", "NOTIFY_SOCKET=", "ENDLESS_", "OVERSEER_", "TABLEFLIP_", "BASELINE_", "NGINX=", "HOME=", "XDG_",
		}, func(prefix string) bool { return strings.HasPrefix(v, prefix) })
	})
	return append(env, "HOME="+home, "XDG_DATA_HOME="+home, "XDG_CONFIG_HOME="+home)
}

func (k *keeper) stop() error {
	k.hold.Close()
	select {
	case <-k.done:
	case <-time.After(stopLimit):
		k.cmd.Process.Kill()
		<-k.done
		return fmt.Errorf("stop: the keeper (pid %d) was killed, and may have left processes behind", k.cmd.Process.Pid)
	}
	if k.err != nil {
		return fmt.Errorf("stop: %w%s", k.err, lastWords(k.log))
	}
	return nil
}

func (k *keeper) processes() int {
	return len(peerOf(k.cmd.Process.Pid))
}
