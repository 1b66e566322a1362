package bench

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// DemoOptions says how StartDemo starts the demo.
type DemoOptions struct {
	Path         string        // the baton binary
	Env          []string      // added to this process's environment
	DrainTimeout time.Duration // after which an old generation cuts what is still connected; 5 s if 0
	LogFile      string        // where its standard error goes; "" for a file that goes away with the demo
}

// demoReady is how long the demo may take until it serves.
const demoReady = 30 * time.Second

// DemoAddrs is where a demo serves, as its ready line says.
type DemoAddrs struct {
	HTTP, HTTPS, TCP string // host:port
	PIDFile          string
	PID              int // of the first generation
}

// parseReady reads the line by which the demo says that it serves: "ready" and then key=value, in any order.
func parseReady(line string) (DemoAddrs, error) {
	var a DemoAddrs
	words := strings.Fields(line)
	if len(words) == 0 || words[0] != "ready" {
		return a, fmt.Errorf("the demo said %q, want its ready line", line)
	}
	for _, word := range words[1:] {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "http":
			a.HTTP = value
		case "https":
			a.HTTPS = value
		case "tcp":
			a.TCP = value
		case "pid-file":
			a.PIDFile = value
		case "pid":
			pid, err := strconv.Atoi(value)
			if err != nil {
				return a, fmt.Errorf("the demo's ready line %q: pid: %w", line, err)
			}
			a.PID = pid
		}
	}
	if a.HTTP == "" || a.HTTPS == "" || a.TCP == "" {
		return a, fmt.Errorf("the demo's ready line %q lacks an address", line)
	}
	return a, nil
}

func (o DemoOptions) args(pidFile string) []string {
	return []string{
		"demo", "--pid-file", pidFile,
		"--http", "127.0.0.1:0", "--https", "127.0.0.1:0", "--tcp", "127.0.0.1:0",
		"--drain-timeout", o.DrainTimeout.String(),
	}
}

// ErrNoDemo is returned by StartDemo where servers cannot be upgraded by a signal.
var ErrNoDemo = errors.New("the demo cannot be upgraded by a signal on this system; point the bench at a server of your own")
