//go:build unix

package upgrader_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/upgrader"
	"github.com/seed-e3b9a99f/baton/upgrader/internal/flipapp/original"
	"github.com/seed-e3b9a99f/baton/upgrader/internal/flipapp/replaced"
)

// The tests of whole upgrades start this test binary as a service, under another name, and talk to it from outside.

// envService names the file that holds a service's settings. Each generation reads it afresh.
const envService = "BATON_TEST_SERVICE"

// settings are what a test wants of the next generation that starts.
type settings struct {
	Mode      string // "" for Run; "tableflip" and "replaced" for the tableflip program and its copy
	Fault     string // what goes wrong
	KillAt    string // the phase at which this process kills itself
	Listeners []listenerSetting
	Probation time.Duration
	Upgrade   time.Duration
	Commit    time.Duration
	Drain     time.Duration
	Max       int
	PIDFile   string
}

type listenerSetting struct{ Name, Network, Address string }

func TestMain(m *testing.M) {
	if path := os.Getenv(envService); path != "" {
		os.Exit(runService(path))
	}
	switch os.Getenv(envExample) {
	case "ExampleRun":
		ExampleRun()
		os.Exit(0)
	case "ExampleUpgrader_Go":
		ExampleUpgrader_Go()
		os.Exit(0)
	case "ExampleUpgrader_SendParcel":
		ExampleUpgrader_SendParcel()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func runService(path string) int {
	var s settings
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	switch s.Fault {
	case "exits":
		fmt.Fprintln(os.Stderr, "listen tcp :99999: invalid port")
		return 3
	case "hangs":
		select {}
	}
	switch s.Mode {
	case "tableflip":
		err = original.Main(s.Listeners[0].Address, s.PIDFile)
	case "replaced":
		err = replaced.Main(s.Listeners[0].Address, s.PIDFile)
	case "drop-in":
		err = upgrader.ListenAndServe(s.Listeners[0].Address, http.HandlerFunc(echoPID), s.options())
	case "drop-in TLS":
		err = upgrader.ListenAndServeTLS(s.Listeners[0].Address, s.PIDFile+".crt", s.PIDFile+".key",
			http.HandlerFunc(echoPID), s.options())
	case "fds":
		err = upgrader.Run(context.Background(), s.options(), passOneOfEach)
	default:
		err = upgrader.Run(context.Background(), s.options(), s.setup)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return upgrader.ExitCode(err)
}

func (s settings) options() upgrader.Options {
	o := upgrader.Options{
		PIDFile: s.PIDFile, Probation: s.Probation, UpgradeTimeout: s.Upgrade, CommitTimeout: s.Commit,
		DrainTimeout: s.Drain, MaxGenerations: s.Max,
		Logger: slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})),
		OnPhase: func(c upgrader.PhaseChange) {
			if c.To.String() == s.KillAt {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
		},
		BeforeSignal: func(sig os.Signal, _ upgrader.Action) error {
			if s.Fault == "vetoes signals" {
				return errors.New("not now")
			}
			return nil
		},
		AfterSignal: func(sig os.Signal, a upgrader.Action, err error) {
			slog.New(slog.NewJSONHandler(os.Stderr, nil)).Info("after signal", "action", a.String(), "err", fmt.Sprint(err))
		},
	}
	switch s.Fault {
	case "no keep-alive":
		o.ListenConfig = &net.ListenConfig{KeepAlive: -1}
	case "unhealthy":
		o.Health = func(context.Context) error { return errors.New("the database is away") }
	case "preflight":
		o.Preflight = func(context.Context) error { return errors.New("the disk is full") }
	}
	return o
}

func echoPID(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Generation", strconv.Itoa(os.Getpid()))
	_, _ = io.Copy(w, r.Body)
}

// passOneOfEach passes a packet conn, a connection and a file on, and says hello through each.
func passOneOfEach(u *upgrader.Upgrader) error {
	hello := fmt.Sprintf("generation %d\n", u.Generation())
	packets, err := u.ListenPacketNamed("packets", "udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, `{"msg":"bound","name":"packets","addr":%q}`+"\n", packets.LocalAddr())
	u.Go(func() error {
		<-u.Exit()
		return packets.Close()
	})
	u.Go(func() error {
		buf := make([]byte, 100)
		for {
			_, from, err := packets.ReadFrom(buf)
			if err != nil {
				return err
			}
			_, _ = packets.WriteTo([]byte(hello), from)
		}
	})
	conn, err := u.Conn("tcp", "peer")
	if conn == nil && err == nil {
		conn, err = net.Dial("tcp", os.Getenv("BATON_TEST_PEER"))
		if err == nil {
			err = u.AddConn("tcp", "peer", conn.(*net.TCPConn))
		}
	}
	if err != nil {
		return err
	}
	_, _ = io.WriteString(conn, hello)
	conn.Close() // the next generation has its own
	file, err := u.File("journal")
	if file == nil && err == nil {
		file, err = os.OpenFile(os.Getenv("BATON_TEST_JOURNAL"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err == nil {
			err = u.AddFile("journal", file)
		}
	}
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.WriteString(file, hello)
	return err
}

const stateCounter = "test/counter"

func (s settings) setup(u *upgrader.Upgrader) error {
	counter := 0
	if blob, ok := u.State(stateCounter); ok {
		counter, _ = strconv.Atoi(string(blob))
	}
	if err := u.ProvideState(stateCounter, func() []byte { return []byte(strconv.Itoa(counter + 1)) }); err != nil {
		return err
	}
	u.OnState(stateCounter, func([]byte) { // between the pidfile and the ack
		switch s.Fault {
		case "dies at commit":
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		case "hangs at commit":
			select {}
		}
	})
	srv := &http.Server{Handler: handler(u, &counter), ConnContext: func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, c)
	}}
	s.spoilHandover(u, srv)
	if err := s.passSessions(u); err != nil {
		return err
	}
	for _, l := range s.Listeners {
		ln, err := u.ListenNamed(l.Name, l.Network, l.Address, upgrader.HTTP)
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, `{"msg":"bound","name":%q,"addr":%q,"inherited":%v}`+"\n", l.Name, ln.Addr(), ln.Inherited())
		if s.Fault == "serves nothing" {
			continue
		}
		if l.Name == "secure" {
			u.Go(func() error { return u.ServeTLS(srv, ln, s.PIDFile+".crt", s.PIDFile+".key") })
		} else {
			u.Go(func() error { return u.Serve(srv, ln) })
		}
	}
	return nil
}

type connKey struct{}

func handler(u *upgrader.Upgrader, counter *int) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Generation", strconv.Itoa(u.Generation()))
		w.Header().Set("Counter", strconv.Itoa(*counter))
		_, _ = io.Copy(w, r.Body)
	})
	mux.HandleFunc("/keepalive", func(w http.ResponseWriter, r *http.Request) {
		raw, err := r.Context().Value(connKey{}).(syscall.Conn).SyscallConn()
		if err != nil {
			fmt.Fprint(w, err)
			return
		}
		_ = raw.Control(func(fd uintptr) {
			on, _ := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_KEEPALIVE)
			fmt.Fprint(w, on)
		})
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) { // answers as the body comes in
		w.Header().Set("Generation", strconv.Itoa(u.Generation()))
		_ = http.NewResponseController(w).EnableFullDuplex()
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		_, _ = io.Copy(w, r.Body)
	})
	mux.HandleFunc("/hijack", func(w http.ResponseWriter, _ *http.Request) {
		c, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_, _ = io.Copy(c, rw)
	})
	return mux
}

// service is a running service, and all of its generations.
type service struct {
	t    *testing.T
	dir  string
	file string // the settings
	app  string // what os.Args[0] names
	settings

	mu    sync.Mutex
	news  *sync.Cond
	lines []logLine
	log   *os.File
	ended bool // no process of the service is left
}

// logLine is a line that a generation has logged, or printed.
type logLine struct {
	Msg, Phase, Name, Addr, Action string
	Err                            any
	Generation, PID                int
	Inherited                      bool
	raw                            string
}

const patience = 30 * time.Second

func startService(t *testing.T, s settings) *service {
	t.Helper()
	dir := t.TempDir()
	if s.PIDFile == "" {
		s.PIDFile = filepath.Join(dir, "app.pid")
	}
	if s.Listeners == nil {
		s.Listeners = []listenerSetting{{"web", "tcp", "127.0.0.1:0"}}
	}
	if s.Drain == 0 {
		s.Drain = patience
	}
	svc := &service{t: t, dir: dir, file: filepath.Join(dir, "settings.json"), app: filepath.Join(dir, "app"), settings: s}
	svc.news = sync.NewCond(&svc.mu)
	svc.install("")
	svc.write(s)
	svc.launch()
	return svc
}

func (s *service) launch() *exec.Cmd {
	s.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(s.app)
	cmd.Env = append(os.Environ(), envService+"="+s.file)
	cmd.Stderr = w
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	w.Close()
	s.mu.Lock()
	s.log = r
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.read(r)
		_ = cmd.Wait()
	}()
	s.t.Cleanup(func() { s.stop(cmd, done) })
	return cmd
}

// read collects lines until no process of the service is left, since each holds the pipe.
func (s *service) read(r *os.File) {
	defer r.Close()
	for scan := bufio.NewScanner(r); scan.Scan(); {
		line := logLine{raw: scan.Text()}
		_ = json.Unmarshal(scan.Bytes(), &line)
		s.mu.Lock()
		s.lines = append(s.lines, line)
		s.news.Broadcast()
		s.mu.Unlock()
	}
	s.mu.Lock()
	s.ended = true
	s.news.Broadcast()
	s.mu.Unlock()
}

// deaf closes the test's end of the log.
func (s *service) deaf() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log.Close()
}

// stop ends every generation, and checks that it can.
func (s *service) stop(cmd *exec.Cmd, done <-chan struct{}) {
	pids := s.pids()
	pids[cmd.Process.Pid] = true
	if pid := s.pid(); pid != 0 {
		pids[pid] = true
	}
	for range 2 { // the second ends a drain
		for pid := range pids {
			if s.isOurs(pid) {
				_ = syscall.Kill(pid, syscall.SIGTERM)
			}
		}
		select {
		case <-done:
		case <-time.After(2 * time.Second):
		}
	}
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		for pid := range pids {
			if s.isOurs(pid) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		<-done
		if s.Fault == "" && !s.t.Failed() {
			s.t.Error("the service did not stop on TERM")
		}
	}
	if s.t.Failed() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, l := range s.lines {
			s.t.Log(l.raw)
		}
	}
}

// isOurs keeps the tests from signalling a stranger that got the pid of a process which has gone.
func (s *service) isOurs(pid int) bool {
	if runtime.GOOS != "linux" {
		return syscall.Kill(pid, 0) == nil
	}
	env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return strings.Contains(string(env), s.file)
}

func (s *service) pids() map[int]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	pids := make(map[int]bool)
	for _, l := range s.lines {
		if l.PID != 0 {
			pids[l.PID] = true
		}
	}
	return pids
}

// write sets what the next generation does.
func (s *service) write(next settings) {
	s.t.Helper()
	text, err := json.Marshal(next)
	if err == nil {
		err = os.WriteFile(s.file, text, 0o644)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// install puts a program in the place of the service's, by rename; "" is the good one.
func (s *service) install(program string) {
	s.t.Helper()
	if program == "" {
		exe, err := os.Executable()
		if err != nil {
			s.t.Fatal(err)
		}
		program = filepath.Join(s.dir, "good")
		os.Remove(program)
		if err := os.Symlink(exe, program); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := os.Rename(program, s.app); err != nil {
		s.t.Fatal(err)
	}
}

// since returns where the log is now, for await.
func (s *service) since() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.lines)
}

// await waits for a line at or after from that matches, and returns it and where the log goes on.
func (s *service) await(from int, what string, match func(logLine) bool) (logLine, int) {
	s.t.Helper()
	timer := time.AfterFunc(patience, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.news.Broadcast()
	})
	defer timer.Stop()
	deadline := time.Now().Add(patience)
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for ; from < len(s.lines); from++ {
			if match(s.lines[from]) {
				return s.lines[from], from + 1
			}
		}
		if s.ended || !time.Now().Before(deadline) {
			s.t.Fatalf("never saw: %s (service ended: %v)", what, s.ended)
		}
		s.news.Wait()
	}
}

// awaitPhase waits until a generation reaches a phase.
func (s *service) awaitPhase(from, generation int, phase string) (logLine, int) {
	s.t.Helper()
	return s.await(from, fmt.Sprintf("generation %d %s", generation, phase), func(l logLine) bool {
		return l.Msg == "phase" && l.Generation == generation && l.Phase == phase
	})
}

func (s *service) awaitMsg(from int, msg string) (logLine, int) {
	s.t.Helper()
	return s.await(from, msg, func(l logLine) bool { return strings.Contains(l.Msg, msg) })
}

// address returns where the named listener of the first generation is bound.
func (s *service) address(name string) string {
	s.t.Helper()
	l, _ := s.await(0, "listener "+name, func(l logLine) bool { return l.Msg == "bound" && l.Name == name })
	return l.Addr
}

func (s *service) pid() int {
	text, _ := os.ReadFile(s.PIDFile)
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

func (s *service) signal(pid int, sig syscall.Signal) {
	s.t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		s.t.Fatalf("signal %v to %d: %v", sig, pid, err)
	}
}

// upgrade sends HUP and waits until the next generation is in charge.
func (s *service) upgrade(to int) logLine {
	s.t.Helper()
	from := s.since()
	s.signal(s.pid(), syscall.SIGHUP)
	l, _ := s.awaitPhase(from, to, "serving")
	return l
}

// refused sends HUP and waits until the upgrade was rolled back; it returns the reason.
func (s *service) refused() string {
	s.t.Helper()
	from, pid := s.since(), s.pid()
	s.signal(pid, syscall.SIGHUP)
	l, _ := s.awaitMsg(from, "upgrade rolled back")
	if l.PID != pid {
		s.t.Errorf("pid %d rolled back, %d is in charge", l.PID, pid)
	}
	return l.raw
}

// get returns which generation answers a new connection.
func (s *service) get(address string) int {
	s.t.Helper()
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	return s.ask(c, bufio.NewReader(c)).generation
}

type answer struct {
	generation, counter int
	closes              bool
	status              int
}

// begin begins a request and waits until it is being served: the connection cannot move until finish.
func (s *service) begin(c net.Conn) *bufio.Reader {
	s.t.Helper()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, "POST /slow HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhe"); err != nil {
		s.t.Fatal(err)
	}
	r := bufio.NewReader(c)
	if _, err := r.Peek(1); err != nil {
		s.t.Fatal(err)
	}
	return r
}

// finish ends what begin began, and returns what it was answered with.
func (s *service) finish(c net.Conn, r *bufio.Reader) answer {
	s.t.Helper()
	if _, err := io.WriteString(c, "llo"); err != nil {
		s.t.Fatal(err)
	}
	return s.response(r)
}

// ask sends one request on a connection.
func (s *service) ask(c net.Conn, r *bufio.Reader) answer {
	s.t.Helper()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello"); err != nil {
		s.t.Fatal(err)
	}
	return s.response(r)
}

func (s *service) response(r *bufio.Reader) answer {
	s.t.Helper()
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		s.t.Fatalf("no response: %v", err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode == 200 && string(body) != "hello" {
		s.t.Fatalf("body %q, %v", body, err)
	}
	generation, _ := strconv.Atoi(resp.Header.Get("Generation"))
	counter, _ := strconv.Atoi(resp.Header.Get("Counter"))
	return answer{generation, counter, resp.Close, resp.StatusCode}
}
