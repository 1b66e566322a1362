package service

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// roleEnv is set in the processes that a supervisor starts.
const roleEnv = "BASELINE_ROLE"

// Supervised reports whether this process is one that [Supervise] has started.
func Supervised() bool { return os.Getenv(roleEnv) != "" }

// Process is a server that a supervisor has started.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// Supervise stands for a service manager: it runs this same program as a server, and calls replace at each SIGHUP. At
// SIGTERM it ends the server and returns. Its own pid is in pidFile.
func Supervise(pidFile string, replace func(old *Process) (*Process, error)) error {
	asked := make(chan os.Signal, 16)
	signal.Notify(asked, syscall.SIGHUP, syscall.SIGTERM)
	server, err := Launch()
	if err != nil {
		return err
	}
	if err := WritePID(pidFile); err != nil {
		return err
	}
	for sig := range asked {
		if sig == syscall.SIGTERM {
			break
		}
		if server, err = replace(server); err != nil {
			return err
		}
	}
	server.Terminate()
	server.Wait()
	return nil
}

// Launch starts a server and returns when it says that it serves.
func Launch() (*Process, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	said, says, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer said.Close()
	cmd := exec.Command(path, os.Args[1:]...)
	cmd.Env = append(os.Environ(), roleEnv+"=server")
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{says}
	err = cmd.Start()
	says.Close()
	if err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, done: make(chan struct{})}
	go func() {
		cmd.Wait()
		close(p.done)
	}()
	if _, err := said.Read(make([]byte, 1)); err != nil {
		return nil, fmt.Errorf("the server (pid %d) ended before it was ready", cmd.Process.Pid)
	}
	return p, nil
}

// Serving tells the supervisor that this server serves.
func Serving() error {
	f := os.NewFile(3, "ready")
	defer f.Close()
	_, err := f.Write([]byte{1})
	return err
}

// Terminate asks the process to end.
func (p *Process) Terminate() { p.cmd.Process.Signal(syscall.SIGTERM) }

// Wait returns when the process has ended.
func (p *Process) Wait() { <-p.done }
