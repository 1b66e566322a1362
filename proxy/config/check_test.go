package config

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writePair writes NAME.pem and NAME.key.
func writePair(t *testing.T, folder, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, folder, name+".pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
	write(t, folder, name+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

func write(t *testing.T, folder, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCheckFindsNothing(t *testing.T) {
	folder := t.TempDir()
	writePair(t, folder, "a")
	write(t, folder, "page.html", []byte("<p>back soon"))
	both := append(read(t, folder, "a.pem"), read(t, folder, "a.key")...)
	write(t, folder, "both.pem", both)
	c, err := Parse(filepath.Join(folder, "baton.yaml"), []byte(`
pid_file: app.pid
admin: {socket: admin.sock, metrics: "127.0.0.1:9180"}
maintenance: {page: page.html}
listeners:
  - name: web
    address: unix:web.sock
    protocol: http
    upstream: app
    tls:
      certificates: [{cert: a.pem, key: a.key}, {cert: both.pem, key: both.pem}]
      client_ca: a.pem
      hosts: [{names: [x.example], client_ca: a.pem}]
upstreams:
  app: {servers: [localhost:9000, "[::1]:9000", unix:later.sock]}
`))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func read(t *testing.T, folder, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestCheckFindsAll(t *testing.T) {
	folder := t.TempDir()
	writePair(t, folder, "a")
	writePair(t, folder, "b")
	write(t, folder, "empty", nil)
	write(t, folder, "junk", []byte("junk"))
	cert := read(t, folder, "a.pem")
	write(t, folder, "torn.pem", append(cert, cert[:len(cert)/2]...))
	write(t, folder, "torn-inside.pem", append(append(cert[:len(cert)/2:len(cert)/2], '\n'), cert...))
	write(t, folder, "bad.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}))
	c, err := Parse(filepath.Join(folder, "baton.yaml"), []byte(`pid_file: none/app.pid
admin: {socket: junk/admin.sock}
maintenance: {page: none.html}
ticket_keys: {file: .}
listeners:
  - name: web
    address: unix:none/web.sock
    protocol: http
    upstream: app
    tls:
      certificates:
        - {cert: a.pem, key: b.key}
        - {cert: b.pem, key: none.key}
        - {cert: junk, key: a.key, staple: junk}
        - {cert: empty, key: a.key}
        - {cert: a.key, key: a.key}
      client_ca: torn.pem
      hosts:
        - {names: [x.example], client_ca: torn-inside.pem}
        - {names: [y.example], client_ca: bad.pem}
upstreams:
  app: {servers: ["127.0.0.1:1", "nobody.invalid:1"]}
`))
	if err != nil {
		t.Fatal(err)
	}
	// No name server is asked: the resolver's is one that refuses.
	silence(t, func(context.Context, string, string) (net.Conn, error) { return nil, os.ErrPermission })
	err = c.Check(t.Context())
	if err == nil {
		t.Fatal("nothing found")
	}
	have := strings.Split(strings.ReplaceAll(err.Error(), folder+"/", ""), "\n")
	want := []string{
		"baton.yaml:1:11: pid_file: the folder none: no such file or directory: make it, or give another path",
		"baton.yaml:2:17: admin.socket: junk is no folder: give another path",
		"baton.yaml:3:21: maintenance.page: read none.html: no such file or directory: give a file that ",
		"baton.yaml:4:21: ticket_keys.file: " + folder + " is no file: give the path of one",
		"baton.yaml:7:14: listeners[0].address: the folder none: no such file or directory: make it, or give another path",
		"baton.yaml:12:30: listeners[0].tls.certificates[0].key: a.pem: key: tls: private key does not match",
		"baton.yaml:13:30: listeners[0].tls.certificates[1].key: b.pem: open none.key: no such file",
		"baton.yaml:14:18: listeners[0].tls.certificates[2].cert: junk: certificate: it is no PEM",
		"baton.yaml:15:18: listeners[0].tls.certificates[3].cert: empty: certificate: it is empty",
		"baton.yaml:16:18: listeners[0].tls.certificates[4].cert: a.key: certificate: there is none in the PEM",
		"baton.yaml:17:18: listeners[0].tls.client_ca: torn.pem: client CAs: 1 of 2 PEM blocks cannot be read",
		"baton.yaml:19:43: listeners[0].tls.hosts[0].client_ca: torn-inside.pem: client CAs: 1 of 2 PEM blocks cannot be read",
		"baton.yaml:20:43: listeners[0].tls.hosts[1].client_ca: bad.pem: client CAs: certificate 1 of 1: x509",
		`baton.yaml:22:34: upstreams.app.servers[1]: the host nobody.invalid does not resolve: `,
	}
	for i := range max(len(have), len(want)) {
		if i >= len(have) || i >= len(want) || !strings.HasPrefix(have[i], want[i]) {
			t.Fatalf("mistake %d of\n%s\nwant\n%s", i, strings.Join(have, "\n"), strings.Join(want, "\n"))
		}
	}
	keys := string(read(t, folder, "a.key")) + string(read(t, folder, "b.key"))
	for line := range strings.SplitSeq(keys, "\n") {
		if line != "" && strings.Contains(err.Error(), line) {
			t.Errorf("a mistake quotes a key")
		}
	}
}

// silence makes dial the way to the resolver's name server.
func silence(t *testing.T, dial func(context.Context, string, string) (net.Conn, error)) {
	t.Helper()
	before := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: dial}
	t.Cleanup(func() { net.DefaultResolver = before })
}

func TestCheckEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	silence(t, func(ctx context.Context, _, _ string) (net.Conn, error) {
		cancel() // while the look-up waits for its answer
		<-ctx.Done()
		return nil, ctx.Err()
	})
	c, err := FromFlags([]string{"tcp://nobody.invalid:5433=nobody.invalid:5432"})
	if err != nil {
		t.Fatal(err)
	}
	err = c.Check(ctx)
	const one = "--listen 1: tcp://nobody.invalid:5433=nobody.invalid:5432: " +
		"the host nobody.invalid does not resolve: no answer in time"
	if err == nil || err.Error() != one+"\n"+one {
		t.Errorf("have %v\nwant %s twice", err, one)
	}
}

// A Config that no file and no flag made has no places, and its mistakes still say what they are about.
func TestCheckOfAConfigByHand(t *testing.T) {
	c := &Config{PIDFile: filepath.Join(t.TempDir(), "none", "pid")}
	if err := c.Check(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "pid_file: the folder ") {
		t.Error(err)
	}
}
