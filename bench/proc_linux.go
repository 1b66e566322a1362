package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// ticksPerSecond is USER_HZ, in which proc(5) counts CPU time. It is 100 on every architecture that Go runs on.
const ticksPerSecond = 100

var pageSize = int64(os.Getpagesize())

// readProcesses returns all processes that live. Those that have ended and wait to be reaped are not among them.
func readProcesses() (map[int]process, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	all := make(map[int]process, len(names))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if p, err := readProcess(pid); err == nil {
			all[pid] = p
		}
	}
	return all, nil
}

// readProcess returns an error if the process has ended, reaped or not.
func readProcess(pid int) (process, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return process{}, err
	}
	return parseStat(text)
}

// parseStat reads a line of /proc/PID/stat; see proc(5). The name, in parentheses, may hold anything.
func parseStat(text []byte) (p process, err error) {
	end := bytes.LastIndexByte(text, ')')
	if end < 0 {
		return p, fmt.Errorf("stat %q: no name", clip(text))
	}
	// Field 3 of proc(5) is fields[0] here.
	fields := strings.Fields(string(text[end+1:]))
	if len(fields) < 22 {
		return p, fmt.Errorf("stat %q: too short", clip(text))
	}
	if state := fields[0]; state == "Z" || state == "X" {
		return p, os.ErrProcessDone
	}
	var user, system, pages int64
	for _, f := range []struct {
		number int
		into   *int64
	}{{14, &user}, {15, &system}, {24, &pages}} {
		if *f.into, err = strconv.ParseInt(fields[f.number-3], 10, 64); err != nil {
			return p, fmt.Errorf("stat: field %d: %w", f.number, err)
		}
	}
	if p.parent, err = strconv.Atoi(fields[4-3]); err != nil {
		return p, fmt.Errorf("stat: field 4: %w", err)
	}
	if p.started, err = strconv.ParseUint(fields[22-3], 10, 64); err != nil {
		return p, fmt.Errorf("stat: field 22: %w", err)
	}
	p.cpu = float64(user+system) / ticksPerSecond
	p.rss = pages * pageSize
	return p, nil
}

// readPSS returns 0 if it may not be read, since that takes the process's own user or root.
func readPSS(pid int) int64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
	if err != nil {
		return 0
	}
	return parsePSS(string(text))
}

func parsePSS(text string) int64 {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, "Pss:"); ok {
			kilobytes, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kilobytes << 10
		}
	}
	return 0
}
