package config

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Check looks at what the configuration speaks of, and binds nothing: certificates load and match their keys, bundles
// of CAs parse, other files can be read, the folders of sockets and of the pidfile exist, and hosts resolve. Its error
// holds every [Mistake]. The end of ctx ends the look-ups of hosts; those under way count as mistakes.
func (c *Config) Check(ctx context.Context) error {
	k := &checker{places: c.places, hosts: make(map[string][]string)}
	k.folder("pid_file", c.PIDFile)
	k.folder("admin.socket", c.Admin.Socket)
	k.readable("maintenance.page", c.Maintenance.Page)
	k.readable("ticket_keys.file", c.TicketKeys.File)
	k.host("admin.metrics", c.Admin.Metrics)
	for i, l := range c.Listeners {
		at := fmt.Sprintf("listeners[%d]", i)
		if network, rest := SplitAddress(l.Address); network == "unix" {
			k.folder(at+".address", rest)
		}
		k.host(at+".address", l.Address)
		if l.TLS != nil {
			k.tls(ctx, at+".tls", l.TLS)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Upstreams)) {
		for i, server := range c.Upstreams[name].Servers {
			k.host(fmt.Sprintf("upstreams.%s.servers[%d]", name, i), server)
		}
	}
	k.resolve(ctx)
	return joined(k.mistakes)
}

type checker struct {
	places   places
	hosts    map[string][]string // the paths that name each host
	mistakes []*Mistake
}

func (k *checker) say(path, format string, args ...any) {
	k.mistakes = append(k.mistakes, k.places.of(path).mistake(path, fmt.Sprintf(format, args...)))
}

// cause is err without the path that the mistake names anyway.
func cause(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// folder reports that the one that file is to be made in is none.
func (k *checker) folder(path, file string) {
	if file == "" {
		return
	}
	folder := filepath.Dir(file)
	switch info, err := os.Stat(folder); {
	case err != nil:
		k.say(path, "the folder %s: %v: make it, or give another path", folder, cause(err))
	case !info.IsDir():
		k.say(path, "%s is no folder: give another path", folder)
	}
}

// readable reports a file that cannot be read, and returns the text of one that can.
func (k *checker) readable(path, file string) []byte {
	if file == "" {
		return nil
	}
	// Opening a named pipe would wait for somebody to write.
	info, err := os.Stat(file)
	if err == nil && !info.Mode().IsRegular() {
		k.say(path, "%s is no file: give the path of one", file)
		return nil
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(file)
	}
	switch {
	case err != nil:
		k.say(path, "read %s: %v: give a file that the proxy's user can read", file, cause(err))
		return nil
	case len(text) == 0:
		k.say(path, "%s is empty", file)
		return nil
	}
	return text
}

// host notes the host of an address, if it is a name.
func (k *checker) host(path, address string) {
	network, rest := SplitAddress(address)
	host, _, err := net.SplitHostPort(rest)
	if network != "tcp" || err != nil || host == "" {
		return
	}
	if _, err := netip.ParseAddr(host); err != nil {
		k.hosts[host] = append(k.hosts[host], path)
	}
}

// resolve looks all hosts up, several at a time so that one dead name server costs its timeout once.
func (k *checker) resolve(ctx context.Context) {
	var mu sync.Mutex
	var all sync.WaitGroup
	slots := make(chan struct{}, 16)
	for host, paths := range k.hosts {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			_, err := net.DefaultResolver.LookupHost(ctx, host)
			if err == nil {
				return
			}
			why := err.Error()
			if e, ok := errors.AsType[*net.DNSError](err); ok {
				why = strings.TrimSpace(e.Err)
			}
			if ctx.Err() != nil {
				why = "no answer in time"
			}
			mu.Lock()
			defer mu.Unlock()
			for _, path := range paths {
				k.say(path, "the host %s does not resolve: %s", host, why)
			}
		})
	}
	all.Wait()
}
