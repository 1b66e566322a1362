package proxy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-e3b9a99f/baton/internal/testca"
)

// Certificates of many listeners are loaded at once, and told of as if it were one after the other: every mistake, in
// the order of the configuration, and nothing is opened.
func TestCertificatesOfManyListeners(t *testing.T) {
	t.Parallel()
	const many = loadsAtOnce + 8
	l := newListeners(t)
	p := l.p
	ca, dir := testca.New(t, "ca"), t.TempDir()
	issue := func() testca.Leaf {
		leaf := ca.Issue(t, testca.Request{Names: []string{"db"}})
		leaf.Write(t, dir)
		return leaf
	}
	issue()
	address := func(i int) string { return p.address(portExtra + 1 + i) }
	text := func(key func(i int) string) string {
		var lines []string
		for i := range many {
			lines = append(lines, l.tcp(fmt.Sprintf("tls-%d", i), portExtra+1+i,
				fmt.Sprintf(", tls: {certificates: [{cert: %s/tls.crt, key: %s}]}", dir, key(i))))
		}
		return l.text(lines...)
	}
	good := text(func(int) string { return dir + "/tls.key" })
	bad := text(func(i int) string {
		if i%2 == 0 {
			return dir + "/tls.key"
		}
		return fmt.Sprintf("%s/none-%d.key", dir, i)
	})
	p.run(l.text())
	p.write("baton.yaml", bad)
	_, err := p.client.Reload(t.Context())
	if err == nil {
		t.Fatal("keys are missing, and nobody objects")
	}
	var told, want []string
	for line := range strings.Lines(p.status().LastReload.Error) {
		told = append(told, strings.Fields(line)[1])
	}
	for i := 1; i < many; i += 2 {
		want = append(want, fmt.Sprintf("tls-%d:", i))
	}
	if fmt.Sprint(told) != fmt.Sprint(want) {
		t.Errorf("told of %v, want %v", told, want)
	}
	for i := range many {
		if c, err := net.Dial("tcp", address(i)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("listener %d was left open: %v", i, err)
			c.Close()
		}
	}
	last := issue()
	p.reload(good)
	for i := range many {
		c, err := dialTLS(address(i), &tls.Config{RootCAs: ca.Pool(), ServerName: "db"})
		p.must(err)
		p.must(echoed(c))
		c.Close()
	}
	p.reload(good)
	// What was loaded for the configuration that was refused does not follow its files any more, and what is in use is
	// kept by a reload that does not change it.
	line := fmt.Sprintf("listener=tls-0 name=%s/tls.crt serial=%x ", dir, last.X509.SerialNumber.Bytes())
	if n := strings.Count(p.logged(), line); n != 1 {
		t.Errorf("%d times in the log, and not once: %s", n, line)
	}
	p.upgrade()
	c, err := dialTLS(address(many-1), &tls.Config{RootCAs: ca.Pool(), ServerName: "db"})
	p.must(err)
	defer c.Close()
	p.must(echoed(c))
}
