package bench

import (
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// readKernel reads the counters of this process's network namespace. It reports whether they could be read.
func readKernel() (k Kernel, ok bool) {
	netstat, err := os.ReadFile("/proc/net/netstat")
	if err != nil {
		return k, false
	}
	snmp, err := os.ReadFile("/proc/net/snmp")
	if err != nil {
		return k, false
	}
	return parseKernel(string(netstat), string(snmp)), true
}

// parseKernel takes the texts of proc_pid_net(5)'s netstat and snmp. What a kernel does not count is 0.
func parseKernel(netstat, snmp string) Kernel {
	ext, tcp := counters(netstat, "TcpExt:"), counters(snmp, "Tcp:")
	return Kernel{
		ListenOverflows: ext["ListenOverflows"],
		ListenDrops:     ext["ListenDrops"],
		BacklogDrops:    ext["TCPBacklogDrop"],
		RetransSegs:     tcp["RetransSegs"],
		SynRetrans:      ext["TCPSynRetrans"],
		Timeouts:        ext["TCPTimeouts"],
	}
}

// counters reads the two lines that begin with the prefix: names, and values in the same order.
func counters(text, prefix string) map[string]int64 {
	var names []string
	for line := range strings.Lines(text) {
		rest, found := strings.CutPrefix(line, prefix)
		if !found {
			continue
		}
		if names == nil {
			names = strings.Fields(rest)
			continue
		}
		values := map[string]int64{}
		for i, field := range strings.Fields(rest) {
			if n, err := strconv.ParseInt(field, 10, 64); err == nil && i < len(names) {
				values[names[i]] = n
			}
		}
		return values
	}
	return nil
}

// retransmits asks TCP_INFO how many segments of a connection were sent again, its SYN included.
func retransmits(raw syscall.RawConn) (n int64, ok bool) {
	err := raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err == nil {
			n, ok = int64(info.Total_retrans), true
		}
	})
	return n, ok && err == nil
}
