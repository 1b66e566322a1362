package proxy_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// envProfile names a file for a CPU profile of Baton, which then runs in this test binary.
	envProfile = "BATON_PEERS_PROFILE"
	// envOther names another baton, such as one from before a change.
	envOther = "BATON_PEERS_OTHER"
)

const nginxStream = "/usr/lib/nginx/modules/ngx_stream_module.so"

// addresses are those of the servers, or of what stands in front of them. Those that a contender does not have are not
// valid.
type addresses struct{ HTTP, HTTPS, Echo, Sink netip.AddrPort }

// A contender is a running proxy.
type contender struct {
	name string
	cmd  *exec.Cmd
	addresses
}

// startContenders starts Baton and those of the others that are there, all in front of one backend.
func startContenders(b *testing.B) []*contender {
	b.Helper()
	to := startBackend(b)
	baton := []string{buildBaton(b), "proxy", "--config", "config"}
	var env []string
	if file := os.Getenv(envProfile); file != "" {
		file, err := filepath.Abs(file)
		must(b, err)
		self, err := os.Executable()
		must(b, err)
		baton, env = []string{self}, []string{envPeers + "=profile", envProfile + "=" + file}
	}
	all := []*contender{start(b, "baton", "baton.yaml", to, env, baton...)}
	if other := os.Getenv(envOther); other != "" {
		all = append(all, start(b, "other", "baton.yaml", to, nil, other, "proxy", "--config", "config"))
	}
	for _, peer := range [][]string{
		{"haproxy.cfg", "haproxy", "-db", "-q", "-f", "config"},
		{"nginx.conf", "nginx", "-p", ".", "-c", "config", "-e", "stderr"},
		{"Caddyfile", "caddy", "run", "--config", "config", "--adapter", "caddyfile"},
	} {
		path, err := exec.LookPath(peer[1])
		if err != nil {
			path, err = exec.LookPath("/usr/sbin/" + peer[1])
		}
		if err != nil {
			say(b, peer[1]+" is not installed, and left out; Debian has it as "+peer[1])
			continue
		}
		all = append(all, start(b, peer[1], peer[0], to, nil, append([]string{path}, peer[2:]...)...))
	}
	return all
}

// say is for what should be seen without -v, too.
func say(b *testing.B, text string) {
	b.Helper()
	fmt.Fprintln(os.Stderr, "BenchmarkPeers:", text)
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// buildBaton returns the path of the binary that users have.
func buildBaton(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "baton")
	out, err := exec.Command("go", "build", "-o", path, "github.com/seed-e3b9a99f/baton/cmd/baton").CombinedOutput()
	if err != nil {
		b.Fatalf("build baton: %v\n%s", err, out)
	}
	return path
}

// startBackend starts the servers in a process of their own, which ends with its input.
func startBackend(b *testing.B) (to addresses) {
	b.Helper()
	self, err := os.Executable()
	must(b, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), envPeers+"=backend")
	cmd.Stderr = os.Stderr
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	must(b, errors.Join(err1, err2, cmd.Start()))
	b.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			b.Errorf("backend: %v", err)
		}
	})
	var web, echo, sink string
	_, err = fmt.Fscan(out, &web, &echo, &sink)
	must(b, err)
	return addresses{
		HTTP: netip.MustParseAddrPort(web), Echo: netip.MustParseAddrPort(echo), Sink: netip.MustParseAddrPort(sink),
	}
}

// start runs a program in a directory of its own, with the configuration in testdata as "config".
func start(b *testing.B, name, config string, to addresses, env []string, args ...string) *contender {
	b.Helper()
	c := &contender{name: name, cmd: exec.Command(args[0], args[1:]...), addresses: freeAddresses(b)}
	dir := b.TempDir()
	var stream string
	if _, err := os.Stat(nginxStream); err == nil {
		stream = nginxStream
	}
	if name == "caddy" || name == "nginx" && stream == "" {
		c.Echo, c.Sink = netip.AddrPort{}, netip.AddrPort{}
		say(b, name+" has no module for plain TCP here, and is left out of that (nginx: Debian's libnginx-mod-stream)")
	}
	t, err := template.ParseFiles(filepath.Join("testdata", "peers", config))
	must(b, err)
	var text bytes.Buffer
	must(b, t.Execute(&text, struct {
		addresses
		To     addresses
		Stream string
	}{c.addresses, to, stream}))
	cert, key := newCertificate(b)
	for file, content := range map[string][]byte{
		"config": text.Bytes(), "cert.pem": cert, "key.pem": key, "both.pem": append(cert, key...),
	} {
		must(b, os.WriteFile(filepath.Join(dir, file), content, 0o600))
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	must(b, err)
	defer log.Close()
	c.cmd.Dir = dir
	c.cmd.Env = append(append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir), env...)
	c.cmd.Stdout, c.cmd.Stderr = log, log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGTERM}
	must(b, c.cmd.Start())
	b.Cleanup(func() {
		c.stop(b)
		if text, _ := os.ReadFile(log.Name()); b.Failed() {
			b.Logf("log of %s:\n%.4000s", name, text)
		}
	})
	for range 500 {
		if conn, err := net.Dial("tcp", c.HTTP.String()); err == nil {
			conn.Close()
			return c
		}
		time.Sleep(10 * time.Millisecond)
	}
	b.Fatalf("%s does not listen", name)
	return nil
}

// stop ends the process, and wants all its children gone.
func (c *contender) stop(b *testing.B) {
	pid := c.cmd.Process.Pid
	_ = c.cmd.Process.Signal(unix.SIGTERM)
	deadline := time.AfterFunc(10*time.Second, func() {
		b.Errorf("%s did not stop", c.name)
		_ = unix.Kill(-pid, unix.SIGKILL)
	})
	_ = c.cmd.Wait() // by a signal, or with a status for it
	deadline.Stop()
	if err := unix.Kill(-pid, 0); err != unix.ESRCH {
		b.Errorf("%s left processes behind: %v", c.name, err)
		_ = unix.Kill(-pid, unix.SIGKILL)
	}
}

// cpu returns the CPU time that c and its children have used so far.
func (c *contender) cpu(b *testing.B) (total time.Duration) {
	pid := c.cmd.Process.Pid
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	must(b, err)
	for _, field := range append(strings.Fields(string(children)), strconv.Itoa(pid)) {
		pid, err := strconv.Atoi(field)
		must(b, err)
		// The clock of clock_getcpuclockid(3), in the kernel's encoding: to the nanosecond, where /proc/PID/stat has
		// hundredths of a second.
		const perProcessSched = 2
		var t unix.Timespec
		must(b, unix.ClockGettime(int32(^pid<<3|perProcessSched), &t))
		total += time.Duration(t.Nano())
	}
	return total
}

// freeAddresses are on an address of this machine that nobody else uses.
func freeAddresses(b *testing.B) (a addresses) {
	host := fmt.Sprintf("127.%d.%d.%d:0", 1+mathrand.IntN(250), mathrand.IntN(250), 1+mathrand.IntN(250))
	for _, to := range []*netip.AddrPort{&a.HTTP, &a.HTTPS, &a.Echo, &a.Sink} {
		ln, err := net.Listen("tcp", host)
		must(b, err)
		defer ln.Close()
		*to = netip.MustParseAddrPort(ln.Addr().String())
	}
	return a
}

// newCertificate makes one with a key on P-256, in PEM.
func newCertificate(b *testing.B) (cert, key []byte) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(b, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{serverName}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	must(b, err)
	bytes, err := x509.MarshalPKCS8PrivateKey(private)
	must(b, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: bytes})
}
