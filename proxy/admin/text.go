package admin

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// expiresSoon is how long before its end a certificate is a problem.
const expiresSoon = 14 * 24 * time.Hour

// Text prints s for people: what to look at begins with "!". On a terminal it has colours, unless NO_COLOR is set.
func (s Status) Text(w io.Writer) error {
	out := s.text(time.Now())
	if colourful(w) {
		out = colour(out)
	}
	_, err := w.Write(out)
	return err
}

func (s Status) text(now time.Time) []byte {
	var p page
	p.now = now
	p.line(false, "baton %s, generation %d (pid %d): %s%s", cmp.Or(s.Version, "(no version)"), s.Generation, s.PID,
		s.Phase, p.lasting(" for ", s.Since, ""))
	if s.ChildPID != 0 {
		p.line(false, "child: pid %d", s.ChildPID)
	}
	if others := s.others(); len(others) > 0 {
		p.line(false, "other generations alive: %s", strings.Join(others, ", "))
	}
	if s.Maintenance {
		p.line(true, "maintenance mode is on")
	}
	if s.ConfigFile != "" {
		p.line(false, "configuration: %s%s", s.ConfigFile, p.lasting(", loaded ", s.ConfigLoaded, " ago"))
	}
	if r := s.LastReload; r != nil && r.Error != "" {
		p.line(true, "last reload%s was refused: %s", p.lasting(" ", r.At, " ago"), r.Error)
	} else if r != nil {
		p.line(false, "last reload%s", p.lasting(" ", r.At, " ago"))
	}
	p.listeners(s.Listeners)
	p.upstreams(s.Upstreams)
	p.certificates(s.Certificates)
	return p.Bytes()
}

// others lists the pids of the generations that neither answer nor are named as the child.
func (s Status) others() (pids []string) {
	for _, pid := range slices.Sorted(slices.Values(s.Living)) {
		if pid != s.PID && pid != s.ChildPID {
			pids = append(pids, "pid "+strconv.Itoa(pid))
		}
	}
	return pids
}

func (p *page) listeners(list []Listener) {
	var rows []row
	for _, l := range list {
		connections := strconv.Itoa(l.Connections)
		if l.Paused {
			connections += " (paused)"
		}
		rows = append(rows, row{l.Paused,
			[]string{l.Name, l.Protocol, l.Address, connections, strconv.FormatUint(l.Accepted, 10)}})
	}
	p.table([]string{"LISTENER", "PROTOCOL", "ADDRESS", "CONNECTIONS", "ACCEPTED"}, rows)
}

func (p *page) upstreams(list []Upstream) {
	var rows []row
	for _, u := range list {
		if len(u.Servers) == 0 {
			rows = append(rows, row{true, []string{u.Name, u.Balance, "(none)"}})
		}
		for _, s := range u.Servers {
			rows = append(rows, row{s.State != StateUp, []string{
				u.Name, u.Balance, s.Address, s.State + p.lasting(" for ", s.Since, ""), strconv.Itoa(s.Active),
				strconv.FormatUint(s.Picks, 10), strconv.FormatUint(s.Failures, 10), s.LastError,
			}})
		}
	}
	p.table([]string{"UPSTREAM", "BALANCE", "SERVER", "STATE", "ACTIVE", "PICKS", "FAILURES", "LAST ERROR"}, rows)
}

func (p *page) certificates(list []Certificate) {
	var rows []row
	for _, c := range list {
		left := c.NotAfter.Sub(p.now)
		ends := "in " + duration(left)
		switch {
		case c.NotAfter.IsZero():
			ends, left = "", expiresSoon
		case left <= 0:
			ends = "EXPIRED " + duration(-left) + " ago"
		case p.now.Before(c.NotBefore):
			ends += ", NOT YET VALID"
		}
		rows = append(rows, row{left < expiresSoon || p.now.Before(c.NotBefore) || c.Error != "", []string{
			c.Listener, strings.Join(c.Names, ","), ends, c.Serial, c.Source, c.Error,
		}})
	}
	p.table([]string{"CERTIFICATE OF", "NAMES", "EXPIRES", "SERIAL", "SOURCE", "ERROR"}, rows)
}

// colourful says whether w is a terminal of somebody who wants colours.
func colourful(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// colour makes problems yellow and the heads of tables bold. It comes last, since a table counts escape sequences too.
func colour(text []byte) []byte {
	var out bytes.Buffer
	head := true // of the page, and after each empty line
	for line := range bytes.Lines(text) {
		line := bytes.TrimSuffix(line, []byte("\n"))
		switch {
		case bytes.HasPrefix(line, []byte("! ")):
			fmt.Fprintf(&out, "\x1b[33m%s\x1b[0m\n", line)
		case head && len(line) > 0:
			fmt.Fprintf(&out, "\x1b[1m%s\x1b[0m\n", line)
		default:
			fmt.Fprintf(&out, "%s\n", line)
		}
		head = len(line) == 0
	}
	return out.Bytes()
}
