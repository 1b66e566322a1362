package proxy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/proxy/admin"
	"github.com/seed-e3b9a99f/baton/proxy/config"
	"github.com/seed-e3b9a99f/baton/proxy/metrics"
	"github.com/seed-e3b9a99f/baton/upgrader"
)

// envFile makes this test binary the proxy of that configuration.
const envFile = "BATON_TEST_PROXY"

func TestMain(m *testing.M) {
	file := os.Getenv(envFile)
	switch {
	case file == "":
		os.Exit(m.Run())
	case len(os.Args) > 1 && os.Args[1] == "check": // what preflight runs
		c, err := config.Load(file)
		if err == nil {
			err = c.Check(context.Background())
		}
		exit(err)
	}
	exit(Run(context.Background(), Options{File: file, Ready: os.Stdout}))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(upgrader.ExitCode(err))
}

const patience = 20 * time.Second

// process is a running proxy, all its generations.
type process struct {
	t      testing.TB
	dir    string
	host   string // an address of this machine that nobody else has, so that every port is free
	client *admin.Client
	gone   chan struct{}

	mu  sync.Mutex
	log bytes.Buffer
}

// newProcess prepares one, so that its address can be written into its configuration.
func newProcess(t testing.TB) *process {
	t.Helper()
	p := &process{t: t, dir: t.TempDir(), gone: make(chan struct{})}
	p.host = fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(250), rand.IntN(250), 1+rand.IntN(250))
	p.client = admin.NewClient(p.path("admin.sock"))
	return p
}

func (p *process) path(name string) string   { return filepath.Join(p.dir, name) }
func (p *process) address(port int) string   { return fmt.Sprintf("%s:%d", p.host, port) }
func (p *process) write(name, text string)   { p.must(os.WriteFile(p.path(name), []byte(text), 0o600)) }
func (p *process) signal(sig syscall.Signal) { p.must(syscall.Kill(p.pid(), sig)) }

func (p *process) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// Ports of every configuration here.
const (
	portMetrics = 9180 + iota
	portHTTP
	portHTTPS
	portTCP
	portTLS
	portExtra
)

// head is what every configuration begins with.
func (p *process) head(more ...string) string {
	return fmt.Sprintf("pid_file: %s\nadmin: {socket: %s, metrics: \"%s\"}\n%s\n",
		p.path("pid"), p.path("admin.sock"), p.address(portMetrics), strings.Join(more, "\n"))
}

// quick are settings of an upgrade whose generations may live as long as the test.
const quick = "upgrade: {ready_timeout: 20s, probation: 0s, drain_timeout: 10m, max_generations: 64}"

// run starts the proxy with a configuration, and stops it with the test.
func (p *process) run(text string) {
	p.t.Helper()
	p.write("baton.yaml", text)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envFile+"="+p.path("baton.yaml"), "GORACE=atexit_sleep_ms=0")
	stdout, err := cmd.StdoutPipe()
	p.must(err)
	log, logWriter, err := os.Pipe() // every generation holds it: at its end, all have gone
	p.must(err)
	cmd.Stderr = logWriter
	p.must(cmd.Start())
	logWriter.Close()
	go func() {
		_, _ = io.Copy(writerFunc(p.addLog), log)
		_ = cmd.Wait()
		close(p.gone)
	}()
	p.t.Cleanup(p.stop)
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		p.t.Fatalf("the proxy says %q: %v", line, err)
	}
}

func (p *process) stop() {
	for range 2 { // the second ends a drain
		if pid := p.pid(); pid != 0 {
			_ = syscall.Kill(pid, syscall.SIGTERM)
		}
		select {
		case <-p.gone:
			if text := p.logged(); p.t.Failed() || strings.Contains(text, "DATA RACE") {
				p.t.Errorf("log of the proxy:\n%s", text)
			}
			return
		case <-time.After(10 * time.Second):
		}
	}
	p.t.Errorf("the proxy did not stop:\n%s", p.logged())
	if status, err := p.client.Status(p.t.Context()); err == nil {
		for _, pid := range append(status.Living, status.PID) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

type writerFunc func([]byte) (int, error)

func (fn writerFunc) Write(b []byte) (int, error) { return fn(b) }

func (p *process) addLog(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

func (p *process) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// says waits until a line of the log has all of these in it.
func (p *process) says(words ...string) {
	p.t.Helper()
	p.until("the log says "+strings.Join(words, " … "), func() bool {
		for line := range strings.Lines(p.logged()) {
			all := true
			for _, word := range words {
				all = all && strings.Contains(line, word)
			}
			if all {
				return true
			}
		}
		return false
	})
}

func (p *process) pid() int {
	text, _ := os.ReadFile(p.path("pid"))
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

// upgrade sends HUP, and returns the pid of the process that was replaced.
func (p *process) upgrade() (old int) {
	p.t.Helper()
	old = p.pid()
	p.must(syscall.Kill(old, syscall.SIGHUP))
	p.until("another process is in charge", func() bool { return p.pid() != old })
	return old
}

// exits waits until a process has gone.
func (p *process) exits(pid int) {
	p.t.Helper()
	p.until("the old process has gone", func() bool { return !alive(pid) })
}

// alive tells whether pid runs. One that has ended and was not waited for does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

func (p *process) until(what string, done func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("waited in vain until %s", what)
		}
	}
}

// reload writes a configuration and has it take effect.
func (p *process) reload(text string) []string {
	p.t.Helper()
	p.write("baton.yaml", text)
	result, err := p.client.Reload(p.t.Context())
	p.must(err)
	return result.Changes
}

func (p *process) status() admin.Status {
	p.t.Helper()
	s, err := p.client.Status(p.t.Context())
	p.must(err)
	return s
}

// numbers are what /metrics says, each by its name and labels.
type numbers map[string]float64

// scrape asks on a connection of its own. Text-format lines are NAME{LABELS} VALUE.
func (p *process) scrape() (numbers, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	resp, err := client.Get("http://" + p.address(portMetrics) + "/metrics")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	n := make(numbers)
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		key, value, ok := cutLast(lines.Text())
		if f, err := strconv.ParseFloat(value, 64); ok && err == nil && !strings.HasPrefix(key, "#") {
			n[key] = f
		}
	}
	return n, lines.Err()
}

func cutLast(line string) (before, after string, ok bool) {
	i := strings.LastIndexByte(line, ' ')
	if i < 0 {
		return line, "", false
	}
	return line[:i], line[i+1:], true
}

// sum adds up the series of a name whose labels include all of these, such as `code="200"`.
func (n numbers) sum(name string, labels ...string) (total float64) {
	for key, value := range n {
		rest, ok := strings.CutPrefix(key, name)
		if !ok || rest != "" && rest[0] != '{' {
			continue
		}
		matches := true
		for _, label := range labels {
			matches = matches && strings.Contains(rest, label)
		}
		if matches {
			total += value
		}
	}
	return total
}

func (p *process) metric(name string, labels ...string) float64 {
	p.t.Helper()
	n, err := p.scrape()
	p.must(err)
	return n.sum(name, labels...)
}

// failures is how often a listener's connections failed with a class.
func (p *process) failures(listener, class string) float64 {
	p.t.Helper()
	return p.metric(metrics.ErrorsTotal, `listener="`+listener+`"`, `class="`+class+`"`)
}

// dial connects to one of the proxy's ports.
func (p *process) dial(port int) net.Conn {
	p.t.Helper()
	c, err := dial(p.address(port))
	p.must(err)
	p.t.Cleanup(func() { c.Close() })
	return c
}

func dial(address string) (net.Conn, error) {
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return nil, err
	}
	return c, c.SetDeadline(time.Now().Add(patience))
}
