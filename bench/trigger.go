package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// Trigger begins an upgrade. It returns when the signal is sent, or when a command is done; an error means that the
// upgrade failed. When ctx ends, it returns soon.
type Trigger func(ctx context.Context) error

// SignalPIDFile sends sig to the process that the file at path names at that moment.
func SignalPIDFile(path string, sig syscall.Signal) Trigger {
	return func(context.Context) error {
		pid, err := readPID(path)
		if err != nil {
			return err
		}
		if err := signalPID(pid, sig); err != nil {
			return fmt.Errorf("send %v to pid %d of %s: %w", sig, pid, path, err)
		}
		return nil
	}
}

// ShellCommand runs line by sh -c and waits for it. Another exit status than 0 is an error, which carries the
// command's last lines of output. What the command leaves running in the background is left alone; when ctx ends
// before the command does, it gets SIGTERM with all that it started.
func ShellCommand(line string) Trigger {
	return func(ctx context.Context) error {
		// A file, not a pipe: a server that the command starts may keep it and write to it for as long as it lives.
		out, err := os.CreateTemp("", "baton-bench-*.out")
		if err != nil {
			return err
		}
		defer os.Remove(out.Name())
		defer out.Close()
		cmd := exec.CommandContext(ctx, "sh", "-c", line)
		cmd.Stdout, cmd.Stderr = out, out
		endAsGroup(cmd)
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("command %q: %w%s", line, err, lastWords(out.Name()))
		}
		return nil
	}
}

// readPID reads a pidfile.
func readPID(path string) (int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 0 {
		return 0, fmt.Errorf("%s holds no pid: %q", path, clip(text))
	}
	return pid, nil
}

// lastWords returns the last lines of a file as "; it said: ...", or "" if there are none.
func lastWords(path string) string {
	lines := tail(path, 3)
	if len(lines) == 0 {
		return ""
	}
	return "; it said: " + strings.Join(lines, " | ")
}

// tail returns up to n last lines of a file.
func tail(path string, n int) []string {
	const most = 8 << 10
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil
	}
	buf := make([]byte, min(info.Size(), most))
	if _, err := f.ReadAt(buf, info.Size()-int64(len(buf))); err != nil {
		return nil
	}
	text := strings.TrimSpace(string(buf))
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	return lines[max(0, len(lines)-n):]
}
