package against

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
)

// startUpstream runs in the keeper.
func startUpstream(args []string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), roleEnv+"=upstream")
	cmd.Stderr = os.Stderr
	return cmd, cmd.Start()
}

// upstreamMain runs in the upstream: what stands behind all proxies, and is never upgraded. It ends by a signal.
func upstreamMain(args []string) int {
	ended := make(chan error)
	for i, serve := range []func(net.Listener) error{serveHTTP, serveEcho} {
		l, err := net.Listen("tcp", args[i])
		if err != nil {
			fmt.Fprintln(os.Stderr, "upstream:", err)
			return 1
		}
		go func() { ended <- serve(l) }()
	}
	fmt.Fprintln(os.Stderr, "upstream:", <-ended)
	return 1
}

// serveHTTP answers as the nested module's programs do.
func serveHTTP(l net.Listener) error {
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			io.WriteString(w, "ok\n")
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Write(body)
	}))
}

func serveEcho(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			io.Copy(c, c)
		}()
	}
}

// isUpstream reports whether a process is an upstream.
func isUpstream(pid int) bool {
	env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return bytes.Contains(env, []byte(roleEnv+"=upstream"))
}
