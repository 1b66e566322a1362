package proxy

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

var seconds = flag.Int("seconds", 8, "how long pgbench and redis-benchmark run, with an upgrade every second")

// program returns the path of a program of a Debian package, or skips the test.
func program(t *testing.T, name, of string, more ...string) string {
	t.Helper()
	for _, pattern := range more {
		if found, _ := filepath.Glob(filepath.Join(pattern, name)); len(found) > 0 {
			return found[len(found)-1]
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("there is no %s here: install the Debian package %s", name, of)
	}
	return path
}

// daemon runs a program until the end of the test, and returns when it says that it is ready.
func daemon(t *testing.T, cmd *exec.Cmd, ready string, end syscall.Signal) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := make(chan string, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r := bufio.NewReader(out)
		var all strings.Builder
		for line, err := r.ReadString('\n'); err == nil; line, err = r.ReadString('\n') {
			if all.WriteString(line); strings.Contains(line, ready) {
				break
			}
		}
		said <- all.String()
		_, _ = io.Copy(io.Discard, r)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(end)
		select {
		case <-ended:
		case <-time.After(patience):
			_ = cmd.Process.Kill()
			t.Errorf("%s did not stop", cmd.Path)
		}
	})
	select {
	case text := <-said:
		if !strings.Contains(text, ready) {
			t.Fatalf("%s: %s", cmd.Path, text)
		}
	case <-time.After(patience):
		t.Fatalf("%s is not ready", cmd.Path)
	}
}

// freePort returns a port of 127.0.0.1 on which nobody listens.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return strconv.Itoa(ln.Addr().(*net.TCPAddr).Port)
}

// inFront runs a proxy in front of a TCP server.
func inFront(t *testing.T, server string) *process {
	t.Helper()
	p := newProcess(t)
	p.run(p.head(quick) + fmt.Sprintf(`
listeners: [{name: db, address: "%s", protocol: tcp, upstream: db}]
upstreams: {db: {servers: ["%s"]}}
`, p.address(portTCP), server))
	return p
}

// upgradeDuring upgrades every second until done, and returns how often.
func (p *process) upgradeDuring(done <-chan error) (n int, err error) {
	p.t.Helper()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return n, err
		case <-tick.C:
			p.exits(p.upgrade())
			n++
		}
	}
}

// postgres is a server with a folder, a port and a Unix socket of its own.
type postgres struct {
	t         *testing.T
	port, dir string
	as        *syscall.SysProcAttr // it does not run as root
}

const binaries = "/usr/lib/postgresql/*/bin"

func (pg *postgres) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(program(pg.t, name, "postgresql", binaries), args...)
	cmd.Dir, cmd.SysProcAttr = pg.dir, pg.as
	cmd.Env = append(os.Environ(), "LC_ALL=C", "PGUSER=postgres", "PGDATABASE=postgres", "PGCONNECT_TIMEOUT=10")
	return cmd
}

func (pg *postgres) do(name string, args ...string) string {
	pg.t.Helper()
	out, err := pg.command(name, args...).CombinedOutput()
	if err != nil {
		pg.t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

func newPostgres(t *testing.T) *postgres {
	t.Helper()
	pg := &postgres{t: t, port: freePort(t)}
	program(t, "initdb", "postgresql", binaries)
	var err error
	if pg.dir, err = os.MkdirTemp("", "baton-pg"); err != nil { // the path of a socket has to be short
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(pg.dir) })
	if os.Getuid() == 0 {
		owner, err := user.Lookup("postgres")
		if err != nil {
			t.Skip("there is no user postgres: install the Debian package postgresql")
		}
		uid, _ := strconv.Atoi(owner.Uid)
		gid, _ := strconv.Atoi(owner.Gid)
		if err := os.Chown(pg.dir, uid, gid); err != nil {
			t.Fatal(err)
		}
		pg.as = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	data := filepath.Join(pg.dir, "data")
	pg.do("initdb", "-D", data, "-A", "trust", "-U", "postgres", "--no-sync")
	daemon(t, pg.command("postgres", "-D", data, "-p", pg.port, "-k", pg.dir, "-h", "127.0.0.1", "-c", "fsync=off"),
		"ready to accept connections", syscall.SIGINT)
	return pg
}

// sessions are those of pgbench's clients, each with its beginning.
func (pg *postgres) sessions() string {
	pg.t.Helper()
	return pg.do("psql", "-h", pg.dir, "-p", pg.port, "-Atc",
		"select pid, backend_start from pg_stat_activity where application_name = 'pgbench' order by pid")
}

// PostgreSQL's clients have the same session from beginning to end, and no transaction fails.
func TestPostgreSQL(t *testing.T) {
	t.Parallel()
	pg := newPostgres(t)
	p := inFront(t, "127.0.0.1:"+pg.port)
	pg.do("pgbench", "-h", pg.dir, "-p", pg.port, "-i", "-s", "2", "-q")
	const clients = 8
	bench := pg.command("pgbench", "-h", p.host, "-p", strconv.Itoa(portTCP), "-n", "-c", strconv.Itoa(clients), "-j", "2",
		"-T", strconv.Itoa(*seconds))
	var out, errs bytes.Buffer
	bench.Stdout, bench.Stderr = &out, &errs
	p.must(bench.Start())
	done := make(chan error, 1)
	go func() { done <- bench.Wait() }()

	var first string
	p.until("pgbench is connected", func() bool {
		first = pg.sessions()
		return strings.Count(first, "\n") >= clients
	})
	n := 0
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for end := time.Now().Add(time.Duration(*seconds-2) * time.Second); time.Now().Before(end); n++ {
		select {
		case err := <-done:
			t.Fatalf("pgbench ended early: %v\n%s%s", err, &out, &errs)
		case <-tick.C:
			p.exits(p.upgrade())
			for session := range strings.Lines(pg.sessions()) { // it may be at its end, and have none
				if !strings.Contains(first, session) {
					t.Errorf("sessions at the beginning:\n%sand after %d upgrades a new one:\n%s", first, n+1, session)
				}
			}
		}
	}
	err := <-done
	if err != nil || n == 0 || strings.Contains(errs.String(), "abort") || strings.Contains(errs.String(), "error") ||
		!strings.Contains(out.String(), "number of failed transactions: 0 (") {
		t.Errorf("pgbench: %v\n%s%s", err, &out, &errs)
	}
	t.Logf("%d upgrades\n%s", n, &out)
}

// Redis' clients keep their connections too; and those who make a new one for each request find somebody.
func TestRedis(t *testing.T) {
	t.Parallel()
	server, bench := program(t, "redis-server", "redis-server"), program(t, "redis-benchmark", "redis-tools")
	port := freePort(t)
	cmd := exec.Command(server, "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir())
	daemon(t, cmd, "eady to accept connections", syscall.SIGTERM)
	p := inFront(t, "127.0.0.1:"+port)
	const clients = 20
	run := func(requests int, args ...string) (took time.Duration, upgraded int) {
		t.Helper()
		args = append([]string{"-h", p.host, "-p", strconv.Itoa(portTCP), "-c", strconv.Itoa(clients), "-t", "incr",
			"-n", strconv.Itoa(requests)}, args...)
		cmd := exec.Command(bench, args...)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		begin := time.Now()
		p.must(cmd.Start())
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		upgraded, err := p.upgradeDuring(done)
		took = time.Since(begin)
		text := out.String()
		if err != nil || strings.Contains(text, "Error") || !strings.Contains(text, fmt.Sprintf("%d requests completed", requests)) {
			t.Errorf("redis-benchmark %v: %v\n%s", args, err, text)
		}
		return took, upgraded
	}
	for _, kind := range []struct {
		name  string
		args  []string
		first int // requests that show how fast it goes
		most  int
	}{
		{"kept connections", nil, 5_000, 1 << 30},
		{"new connections", []string{"-k", "0"}, 500, 25_000}, // there are 28,000 ports
	} {
		took, _ := run(kind.first, kind.args...)
		n := min(kind.most, int(float64(kind.first)*float64(*seconds)/2/took.Seconds()))
		before := redisConnections(t, port)
		took, upgraded := run(n, kind.args...)
		connections := redisConnections(t, port) - before
		t.Logf("%s: %d requests in %.1fs, %d upgrades, %d connections", kind.name, n, took.Seconds(), upgraded, connections)
		if kind.args == nil && (connections > clients+4 || upgraded == 0) { // it asks for the configuration too
			t.Errorf("%d connections of %d clients, %d upgrades", connections, clients, upgraded)
		}
	}
}

// redisConnections is how many connections the server has had.
func redisConnections(t *testing.T, port string) int {
	t.Helper()
	c, err := dial("127.0.0.1:" + port)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "INFO stats\r\n")
	for r := bufio.NewScanner(c); r.Scan(); {
		if value, ok := strings.CutPrefix(r.Text(), "total_connections_received:"); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(value))
			return n
		}
	}
	t.Fatal("redis does not say how many connections it has had")
	return 0
}
