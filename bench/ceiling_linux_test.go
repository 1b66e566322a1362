package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// The generator's ceiling: how many requests a second it carries out on one core, beside wrk on the same core, against
// a server that does next to nothing, on another. Both send the same POSTs on as many connections.

const (
	ceilingConns   = 64
	ceilingSeconds = 2
	asked          = 20000  // a second, which the bench is to keep up with on one core
	beyond         = 100000 // and what it does not
)

// BenchmarkCeiling takes turns between wrk and the bench. It is skipped without wrk, taskset and two cores.
func BenchmarkCeiling(b *testing.B) {
	for _, tool := range []string{"wrk", "taskset"} {
		if _, err := exec.LookPath(tool); err != nil {
			b.Skipf("%v: apt-get install wrk util-linux", err)
		}
	}
	addr := startTrivial(b)
	var wrk, mine ceiling
	var wait, lag, late float64
	for b.Loop() {
		wrk.add(wrkOn(b, addr))
		_, did := loadOn(b, addr, beyond)
		mine.add(did)
		r, _ := loadOn(b, addr, asked)
		lane := r.Lanes[0]
		if lane.Lost > 0 {
			b.Errorf("lost %d of %d", lane.Lost, lane.Operations)
		}
		wait += r.ClientWait
		lag += r.Lag.P99
		late += float64(lane.Late+lane.ClientLimited) / float64(lane.Operations)
	}
	n := float64(b.N)
	b.ReportMetric(wrk.requests/wrk.wall, "wrk-req/s")
	b.ReportMetric(mine.requests/mine.wall, "bench-req/s")
	b.ReportMetric(wrk.cpu/wrk.requests*1e6, "wrk-cpu-µs/req")
	b.ReportMetric(mine.cpu/mine.requests*1e6, "bench-cpu-µs/req")
	b.ReportMetric(wait/n, "p99-cpu-wait-ms@20000/s")
	b.ReportMetric(lag/n, "p99-lag-ms@20000/s")
	b.ReportMetric(100*late/n, "%late@20000/s")
	b.ReportMetric(0, "ns/op")
}

// ceiling is what a client did.
type ceiling struct{ requests, wall, cpu float64 }

func (c *ceiling) add(more ceiling) {
	c.requests += more.requests
	c.wall += more.wall
	c.cpu += more.cpu
}

func cpuSeconds(cmd *exec.Cmd) float64 {
	return (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
}

// startTrivial starts the server on the second core, until the benchmark is over.
func startTrivial(b *testing.B) (addr string) {
	b.Helper()
	server := runHelper("trivial")
	server.Args = append([]string{"taskset", "-c", "1"}, server.Args...)
	server.Path, _ = exec.LookPath("taskset")
	said, err := server.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	server.Stderr = os.Stderr
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		server.Process.Kill()
		server.Wait()
	})
	if _, err := fmt.Fscanln(said, &addr); err != nil {
		b.Skipf("no second core for the server: %v", err)
	}
	return addr
}

func wrkOn(b *testing.B, addr string) ceiling {
	b.Helper()
	script := filepath.Join(b.TempDir(), "post.lua")
	body := bytes.Repeat([]byte("x"), payloadSize)
	if err := os.WriteFile(script, fmt.Appendf(nil, "wrk.method = 'POST'\nwrk.body = '%s'\n", body), 0o644); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command("taskset", "-c", "0", "wrk", "-t1", "-c"+strconv.Itoa(ceilingConns),
		"-d"+strconv.Itoa(ceilingSeconds)+"s", "-s", script, "http://"+addr+"/")
	out, err := cmd.CombinedOutput()
	rate := regexp.MustCompile(`([0-9]+) requests in ([0-9.]+)s`).FindSubmatch(out)
	if err != nil || rate == nil {
		b.Fatalf("wrk: %v\n%s", err, out)
	}
	done := ceiling{cpu: cpuSeconds(cmd)}
	for i, into := range []*float64{&done.requests, &done.wall} {
		if *into, err = strconv.ParseFloat(string(rate[i+1]), 64); err != nil {
			b.Fatal(err)
		}
	}
	return done
}

// loadOn runs the bench on the first core.
func loadOn(b *testing.B, addr string, rate int) (r Report, did ceiling) {
	b.Helper()
	cmd := exec.Command("taskset", "-c", "0", os.Args[0], addr, strconv.Itoa(rate))
	cmd.Env = append(os.Environ(), helperEnv+"=load", "GOMAXPROCS=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		b.Fatal(err)
	}
	if err := json.Unmarshal(out, &r); err != nil {
		b.Fatal(err)
	}
	return r, ceiling{requests: float64(r.Lanes[0].OK), wall: r.Duration, cpu: cpuSeconds(cmd)}
}

func init() {
	helpers["trivial"] = trivialHelper
	helpers["load"] = loadHelper
}

// trivialHelper serves the smallest answer to whatever has a body of payloadSize, or none.
func trivialHelper() error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	for {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			buf := make([]byte, 16<<10)
			have := 0
			for {
				n, err := c.Read(buf[have:])
				if err != nil {
					return
				}
				have += n
				head := bytes.Index(buf[:have], []byte("\r\n\r\n"))
				if head < 0 {
					continue
				}
				want := head + 4
				if bytes.HasPrefix(buf, []byte("POST")) {
					want += payloadSize
				}
				if have < want {
					continue
				}
				have = 0
				c.Write(answer)
			}
		}()
	}
}

func loadHelper() error {
	rate, err := strconv.ParseFloat(os.Args[2], 64)
	if err != nil {
		return err
	}
	r, err := Run(context.Background(), Plan{
		Lanes: []Lane{KeepAlive(HTTP{Addr: os.Args[1]})}, Rate: rate, Conns: ceilingConns,
		Duration: ceilingSeconds * time.Second, MaxLate: 1,
	})
	if err != nil {
		return err
	}
	return r.WriteJSON(os.Stdout)
}
