package against

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/seed-e3b9a99f/baton/bench"
)

// streamModules is where nginx's module for plain TCP may be.
var streamModules = []string{
	"/usr/lib/nginx/modules/ngx_stream_module.so", "/usr/lib64/nginx/modules/ngx_stream_module.so",
}

// installed returns the path of a server's program.
func installed(name string) (string, error) {
	for _, candidate := range []string{name, "/usr/sbin/" + name} { // which is in root's PATH alone
		if path, err := exec.LookPath(candidate); err == nil {
			return path, nil
		}
	}
	return "", &Missing{name + " is not installed", "apt-get install " + name}
}

func nginx(trigger func(pidFile string) bench.Trigger, as ...variant) func(*site) (launch, error) {
	return func(s *site) (launch, error) {
		program, err := installed("nginx")
		if err != nil {
			return launch{}, err
		}
		for _, module := range streamModules {
			if _, err := os.Stat(module); err == nil {
				s.Stream = module
			}
		}
		if s.Stream == "" { // Debian has it as libnginx-mod-stream
			s.TCP = ""
		}
		config, err := s.configure("nginx.conf")
		pidFile := s.path("nginx.pid")
		l := launch{
			args:    []string{program, "-p", s.Dir, "-c", config, "-e", s.path("error.log")},
			trigger: trigger(pidFile), pidFile: pidFile,
		}
		for _, change := range as {
			change(s, &l)
		}
		return l, err
	}
}

// nginxReload returns when there are new workers.
func nginxReload(pidFile string) bench.Trigger {
	return func(ctx context.Context) error { return signalMaster(ctx, pidFile, syscall.SIGHUP) }
}

// nginxUpgrade starts the new binary, and tells the old master to go when the new one has workers.
func nginxUpgrade(pidFile string) bench.Trigger {
	return func(ctx context.Context) error {
		old, err := pidIn(pidFile)
		if err != nil {
			return err
		}
		if err := syscall.Kill(old, syscall.SIGUSR2); err != nil {
			return fmt.Errorf("send USR2 to nginx's master (pid %d): %w", old, err)
		}
		if err := until(ctx.Done(), triggerLimit, func() (bool, error) {
			now, err := pidIn(pidFile) // the file is renamed, and then there is none for a moment
			return err == nil && now != old && len(children(now)) > 0, nil
		}); err != nil {
			return fmt.Errorf("nginx (pid %d) started no new master: %w (it ignores USR2 while the master before it "+
				"still has connections)", old, err)
		}
		return syscall.Kill(old, syscall.SIGQUIT)
	}
}

func haproxy(idleCloseOnResponse bool) func(*site) (launch, error) {
	return func(s *site) (launch, error) {
		program, err := installed("haproxy")
		if err != nil {
			return launch{}, err
		}
		s.IdleCloseOnResponse = idleCloseOnResponse
		config, err := s.configure("haproxy.cfg")
		pidFile := s.path("haproxy.pid")
		return launch{
			args: []string{program, "-W", "-f", config, "-p", pidFile},
			trigger: func(ctx context.Context) error {
				return signalMaster(ctx, pidFile, syscall.SIGUSR2)
			},
		}, err
	}
}

func caddy(s *site) (launch, error) {
	program, err := installed("caddy")
	if err != nil {
		return launch{}, err
	}
	s.TCP = ""
	config, err := s.configure("Caddyfile")
	if err != nil {
		return launch{}, err
	}
	return launch{
		args: []string{program, "run", "--config", config, "--adapter", "caddyfile"},
		trigger: func(ctx context.Context) error {
			text, err := os.ReadFile(config)
			if err != nil {
				return err
			}
			ask, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.Admin+"/load", bytes.NewReader(text))
			if err != nil {
				return err
			}
			ask.Header.Set("Content-Type", "text/caddyfile")
			ask.Header.Set("Cache-Control", "must-revalidate") // reload even if nothing has changed
			ask.Close = true
			answer, err := http.DefaultTransport.RoundTrip(ask)
			if err != nil {
				return fmt.Errorf("reload caddy: %w", err)
			}
			defer answer.Body.Close()
			why, _ := io.ReadAll(answer.Body)
			if answer.StatusCode != http.StatusOK {
				return fmt.Errorf("reload caddy: %s: %s", answer.Status, bytes.TrimSpace(why))
			}
			return nil
		},
	}, nil
}

// triggerLimit is how long a server may take until it has new workers. It is short of what a plan waits for an upgrade,
// so that the report has the trigger's own words.
const triggerLimit = 3 * time.Second

// signalMaster signals the process in pidFile, and returns when it has a child that it did not have before.
func signalMaster(ctx context.Context, pidFile string, sig syscall.Signal) error {
	master, err := pidIn(pidFile)
	if err != nil {
		return err
	}
	before := map[int]bool{}
	for _, pid := range children(master) {
		before[pid] = true
	}
	if err := syscall.Kill(master, sig); err != nil {
		return fmt.Errorf("send %v to the master (pid %d): %w", sig, master, err)
	}
	if err := until(ctx.Done(), triggerLimit, func() (bool, error) {
		for _, pid := range children(master) {
			if !before[pid] {
				return true, nil
			}
		}
		return false, nil
	}); err != nil {
		return fmt.Errorf("no new worker of the master (pid %d): %w", master, err)
	}
	return nil
}

func pidIn(path string) (int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 0 {
		return 0, fmt.Errorf("%s holds no pid: %.20q", path, text)
	}
	return pid, nil
}
