package relay

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// These benchmarks set a relaying process beside HAProxy and nginx, and beside itself while its relays move to another
// process and back. The client is this process, the backend one of its own; docs/benchmarks.md shows and explains what
// comes out.

// Two threads and two workers, for a machine of two cores. Apart from that and the addresses, what is not the default is
// what the manuals have for this use: HAProxy splices where it thinks it pays, and its manual warns of larger buffers;
// each of nginx's workers has a listening queue of its own, and larger buffers where the traffic is bulk.
const (
	haproxyConfig = `
global
	nbthread 2
	maxconn 4000
defaults
	mode tcp
	option splice-auto
	timeout connect 5s
	timeout client 1m
	timeout server 1m
listen echo
	bind %s
	server backend %s
listen sink
	bind %s
	server backend %s
`
	nginxModule = "/usr/lib/nginx/modules/ngx_stream_module.so"
	nginxConfig = `
load_module ` + nginxModule + `;
worker_processes 2;
daemon off;
pid nginx.pid;
error_log stderr;
events {
	worker_connections 4000;
}
stream {
	server {
		listen %s reuseport;
		proxy_pass %s;
	}
	server {
		listen %s reuseport;
		proxy_pass %s;
		proxy_buffer_size 64k;
		proxy_half_close on; # the backend answers after the end of the stream
	}
}
`
)

const (
	// slice is how long one measurement of one contender lasts.
	slice = 500 * time.Millisecond
	// messageSize is that of a small message.
	messageSize = 100
	// messengers is how many connections carry small messages, dialers how many are opened at a time.
	messengers, dialers = 64, 16
)

// addresses are a backend's, or those of what relays to it: one sends back what comes, the other swallows it and
// answers, at the end of the stream, how much it was.
type addresses struct{ echo, sink string }

func init() {
	helpers["peersBackend"] = runPeersBackend
	helpers["peersRelay"] = runPeersRelay
}

func runPeersBackend() error {
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 2)
	e, err := New(Options{})
	if err != nil {
		return err
	}
	return listenBoth(func(c *net.TCPConn) {
		if _, err := e.Echo(c, Config{}); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}, func(c *net.TCPConn) {
		defer c.Close()
		var n uint64
		for p := make([]byte, 256<<10); ; {
			m, err := c.Read(p)
			n += uint64(m)
			if err != nil {
				break
			}
		}
		c.Write(binary.BigEndian.AppendUint64(nil, n))
	}, nil)
}

// runPeersRelay relays, and moves what it relays over descriptor 3 when it is told to.
func runPeersRelay() error {
	// One for each loop, as the package says, and what the machine has for accepting and dialing.
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 2)
	e, err := New(Options{})
	if err != nil {
		return err
	}
	var ch channel
	if os.Getenv("RELAY_TEST_MOVES") != "" {
		if ch, err = newChannel(os.NewFile(3, "channel")); err != nil {
			return err
		}
		go importAll(e, ch)
	}
	dialer := net.Dialer{KeepAlive: -1}
	to := func(upstream string) func(*net.TCPConn) {
		return func(c *net.TCPConn) {
			u, err := dialer.Dial("tcp", upstream)
			if err == nil {
				_, err = e.Relay(c, u, Config{})
			}
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}
	}
	return listenBoth(to(os.Getenv("RELAY_TEST_ECHO")), to(os.Getenv("RELAY_TEST_SINK")), func() error {
		exportAll(e, ch)
		_, err := ch.c.Write([]byte("all"))
		return err
	})
}

// listenBoth writes two addresses and serves each connection on a goroutine of its own until its input ends. For each
// line of input it calls move.
func listenBoth(echo, sink func(*net.TCPConn), move func() error) error {
	listen := net.ListenConfig{KeepAlive: -1} // as HAProxy and nginx do unless told otherwise
	for _, serve := range []func(*net.TCPConn){echo, sink} {
		ln, err := listen.Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		fmt.Println(ln.Addr())
		go accept(ln, func(c *net.TCPConn) { go serve(c) })
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if err := move(); err != nil {
			return err
		}
	}
	return nil
}

// A contender is a running relay, of whatever make.
type contender struct {
	name string
	cmd  *exec.Cmd
	addresses
	in  io.WriteCloser // ours only
	out *bufio.Reader
}

// startOurs runs this test binary as a helper. It ends with its input.
func startOurs(b *testing.B, name, helper string, to addresses, channel *os.File) *contender {
	b.Helper()
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	c := &contender{name: name, cmd: exec.Command(exe)}
	c.cmd.Env = append(os.Environ(), "RELAY_TEST_HELPER="+helper, "RELAY_TEST_ECHO="+to.echo, "RELAY_TEST_SINK="+to.sink)
	if channel != nil {
		c.cmd.Env = append(c.cmd.Env, "RELAY_TEST_MOVES=1")
		c.cmd.ExtraFiles = []*os.File{channel}
	}
	in, err1 := c.cmd.StdinPipe()
	out, err2 := c.cmd.StdoutPipe()
	c.cmd.Stderr = os.Stderr
	if err := errors.Join(err1, err2, c.cmd.Start()); err != nil {
		b.Fatal(err)
	}
	c.in, c.out = in, bufio.NewReader(out)
	b.Cleanup(func() {
		in.Close()
		if err := c.cmd.Wait(); err != nil {
			b.Errorf("%s: %v", name, err)
		}
	})
	if _, err := fmt.Fscan(c.out, &c.echo, &c.sink); err != nil {
		b.Fatal(err)
	}
	return c
}

// startTheirs runs a program in a directory of its own with config in it. It ends by SIGTERM.
func startTheirs(b *testing.B, program, config string, to addresses, args ...string) *contender {
	b.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + program)
	}
	if err != nil {
		skip(b, program+" is not installed; Debian's packages: haproxy nginx libnginx-mod-stream")
	}
	c := &contender{name: program, cmd: exec.Command(path, args...), addresses: addresses{freeAddress(b), freeAddress(b)}}
	c.cmd.Dir = b.TempDir()
	c.cmd.Stderr = os.Stderr
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGTERM}
	config = fmt.Sprintf(config, c.echo, to.echo, c.sink, to.sink)
	if err := os.WriteFile(filepath.Join(c.cmd.Dir, "config"), []byte(config), 0o600); err != nil {
		b.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		c.cmd.Process.Signal(unix.SIGTERM)
		c.cmd.Wait() // by a signal, or with a status for it
	})
	for range 500 {
		conn, err := net.Dial("tcp", c.echo)
		if err == nil {
			defer conn.Close()
			if err := roundTrip(conn, make([]byte, 1)); err != nil {
				b.Fatal(err)
			}
			return c
		}
		time.Sleep(10 * time.Millisecond)
	}
	b.Fatalf("%s does not listen", program)
	return nil
}

func startContenders(b *testing.B) []*contender {
	b.Helper()
	if _, err := os.Stat(nginxModule); err != nil {
		skip(b, fmt.Sprintf("nginx has no stream module; Debian's package: libnginx-mod-stream (%v)", err))
	}
	to := startOurs(b, "backend", "peersBackend", addresses{}, nil).addresses
	return []*contender{
		startOurs(b, "baton", "peersConnect", to, nil),
		startTheirs(b, "haproxy", haproxyConfig, to, "-db", "-q", "-f", "config"),
		startTheirs(b, "nginx", nginxConfig, to, "-p", ".", "-c", "config", "-e", "stderr"),
		startOurs(b, "package net", "peersRelay", to, nil), // Baton that accepts and dials with package net
	}
}

// skip says why also without -v, since nothing else would tell that there is no result.
func skip(b *testing.B, why string) {
	b.Helper()
	fmt.Fprintln(os.Stderr, "BenchmarkPeers:", why)
	b.Skip(why)
}

func freeAddress(b *testing.B) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// cpu returns the CPU time that c and its children have used so far.
func (c *contender) cpu(b *testing.B) time.Duration {
	pid := c.cmd.Process.Pid
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		b.Fatal(err)
	}
	var ticks int
	for _, pid := range append(strings.Fields(string(children)), strconv.Itoa(pid)) {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil {
			b.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(stat), ") ") // proc(5): the third field, state, follows the name
		fields := strings.Fields(rest)
		for _, i := range []int{14, 15} { // utime and stime
			n, err := strconv.Atoi(fields[i-3])
			if err != nil {
				b.Fatal(err)
			}
			ticks += n
		}
	}
	return time.Duration(ticks) * time.Second / 100 // USER_HZ
}

// A sample is what one slice of time gave.
type sample struct {
	rate float64       // units a second
	cpu  time.Duration // a unit
	p99  time.Duration // of an exchange or of a connection
}

// measure takes the time and c's CPU time of run, which returns how many units it did and, if they have any, how long
// they took.
func (c *contender) measure(b *testing.B, run func() (units float64, latencies []time.Duration)) sample {
	cpu, begin := c.cpu(b), time.Now()
	units, latencies := run()
	elapsed := time.Since(begin)
	s := sample{rate: units / elapsed.Seconds(), cpu: time.Duration(float64(c.cpu(b)-cpu) / units)}
	if n := len(latencies); n > 0 {
		slices.Sort(latencies)
		s.p99 = latencies[n*99/100]
	}
	return s
}

// A workload does something through c for one slice of time.
type workload struct {
	name      string
	rate      string
	perSecond string // how the rate is printed
	cpu       string // CPU time for a unit
	scale     float64
	run       func(b *testing.B, c *contender) sample
}

var workloads = []workload{
	{"small messages", "exchanges/s", "%.0f", "µs CPU/exchange", 1e6, func(b *testing.B, c *contender) sample {
		conns := dialMany(b, c.echo, messengers)
		defer closeMany(conns)
		return c.measure(b, func() (float64, []time.Duration) { return exchange(b, conns, slice) })
	}},
	{"new connections", "connections/s", "%.0f", "µs CPU/connection", 1e6, func(b *testing.B, c *contender) sample {
		return c.measure(b, func() (float64, []time.Duration) { return connect(b, c.echo, slice) })
	}},
	{"bulk, 1 stream", "GB/s", "%.2f", "ms CPU/GB", 1e3, func(b *testing.B, c *contender) sample {
		return c.measure(b, func() (float64, []time.Duration) { return stream(b, c.sink, 1, slice), nil })
	}},
	{"bulk, 4 streams", "GB/s", "%.2f", "ms CPU/GB", 1e3, func(b *testing.B, c *contender) sample {
		return c.measure(b, func() (float64, []time.Duration) { return stream(b, c.sink, 4, slice), nil })
	}},
}

// BenchmarkPeers takes turns: a slice of time for each contender, and again.
func BenchmarkPeers(b *testing.B) {
	all := startContenders(b)
	table := newTable("", "baton", "haproxy", "nginx", "package net", "baton/haproxy", "baton/nginx", "baton/package net")
	for _, w := range workloads {
		b.Run(strings.NewReplacer(" ", "-", ",", "").Replace(w.name), func(b *testing.B) {
			rounds := 0
			samples := make([][]sample, len(all))
			for b.Loop() {
				rounds++
				for i, c := range all {
					samples[i] = append(samples[i], w.run(b, c))
				}
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(rounds), "rounds")
			report := func(unit, format string, of func(sample) float64) {
				row := []string{w.name + ": " + unit}
				for i, c := range all {
					v := median(samples[i], of)
					b.ReportMetric(v, strings.ReplaceAll(c.name, " ", "-")+"-"+strings.ReplaceAll(unit, " ", "-"))
					row = append(row, fmt.Sprintf(format, v))
				}
				for _, other := range samples[1:] {
					// Of slices next to each other, so that the machine's drift cancels.
					var ratios []float64
					for j, s := range samples[0] {
						ratios = append(ratios, of(s)/of(other[j]))
					}
					row = append(row, fmt.Sprintf("%.2f", median(ratios, func(r float64) float64 { return r })))
				}
				table.add(row...)
			}
			report(w.rate, w.perSecond, func(s sample) float64 { return s.rate })
			report(w.cpu, "%.1f", func(s sample) float64 { return s.cpu.Seconds() * w.scale })
			if samples[0][0].p99 > 0 {
				report("p99 ms", "%.2f", func(s sample) float64 { return s.p99.Seconds() * 1000 })
			}
		})
	}
	table.print()
}
