package tlsreload_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/seed-e3b9a99f/baton/tlsreload"
)

// An HTTP server takes two lines: New and Attach.
func ExampleReloader_Attach() {
	dir, clients := certificateFiles("a.test")
	defer os.RemoveAll(dir)
	ctx := context.Background()
	srv := &http.Server{Handler: http.NotFoundHandler()}

	certs, err := tlsreload.New(ctx, tlsreload.Options{
		Sources: tlsreload.Pair(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")), Logger: quiet,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer certs.Close()
	certs.Attach(srv)

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.ServeTLS(ln, "", "") }()

	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: clients, ServerName: "a.test"}, ForceAttemptHTTP2: true,
	}}
	response, err := client.Get("https://" + ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	response.Body.Close()
	fmt.Println(response.Status, response.Proto)
	client.CloseIdleConnections()
	srv.Close()
	<-ended
	// Output: 404 Not Found HTTP/2.0
}

// Where it is not HTTP, Config goes wherever a tls.Config goes. A new certificate is served at once, or at the next
// poll; Reload is for those who do not want to wait.
func ExampleReloader_Config() {
	dir, clients := certificateFiles("a.test")
	defer os.RemoveAll(dir)
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	certs, err := tlsreload.New(context.Background(), tlsreload.Options{Sources: tlsreload.Pair(cert, key), Logger: quiet})
	if err != nil {
		log.Fatal(err)
	}
	defer certs.Close()
	server := start(certs.Config())
	defer server.stop()

	before := server.dial(&tls.Config{RootCAs: clients, ServerName: "a.test"})
	renewed, clients := certificateFiles("a.test")
	defer os.RemoveAll(renewed)
	for _, name := range []string{"tls.crt", "tls.key"} {
		if err := os.Rename(filepath.Join(renewed, name), filepath.Join(dir, name)); err != nil {
			log.Fatal(err)
		}
	}
	if err := certs.Reload(context.Background()); err != nil {
		log.Fatal(err)
	}
	after := server.dial(&tls.Config{RootCAs: clients, ServerName: "a.test"})
	fmt.Println("the same certificate:", before.PeerCertificates[0].Equal(after.PeerCertificates[0]))
	fmt.Println("generation:", certs.Status().Generation)
	// Output:
	// the same certificate: false
	// generation: 2
}

// One name asks its clients for a certificate, and the others let everybody in.
func ExampleOptions_hosts() {
	dir, clients := certificateFiles("www.test", "admin.test")
	defer os.RemoveAll(dir)
	staff, _ := certificateFiles("staff") // it signs itself, and so is its own CA
	defer os.RemoveAll(staff)
	bundle := filepath.Join(staff, "tls.crt")
	certs, err := tlsreload.New(context.Background(), tlsreload.Options{
		Sources: []tlsreload.Source{&tlsreload.Files{
			Certificates: []tlsreload.FilePair{{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}},
			ClientCAs:    []string{bundle},
		}},
		Hosts:  []tlsreload.Host{{Names: []string{"admin.test"}, ClientCA: bundle}},
		Logger: quiet,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer certs.Close()
	server := start(certs.Config())
	defer server.stop()

	own, err := tls.LoadX509KeyPair(bundle, filepath.Join(staff, "tls.key"))
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range []string{"www.test", "admin.test"} {
		stranger := server.dial(&tls.Config{RootCAs: clients, ServerName: name})
		colleague := server.dial(&tls.Config{RootCAs: clients, ServerName: name, Certificates: []tls.Certificate{own}})
		fmt.Println(name, "lets in a stranger:", stranger != nil, "and a colleague:", colleague != nil)
	}
	// Output:
	// www.test lets in a stranger: true and a colleague: true
	// admin.test lets in a stranger: false and a colleague: true
}

// The keys of session tickets go from one generation of a program to the next, so that its clients resume. An upgrader
// passes on named bytes; here a map does.
func ExampleTicketKeys_Export() {
	dir, clients := certificateFiles("a.test")
	defer os.RemoveAll(dir)
	state := make(map[string][]byte)
	client := &tls.Config{RootCAs: clients, ServerName: "a.test", ClientSessionCache: tls.NewLRUClientSessionCache(1)}

	generation := func(n int) {
		certs, err := tlsreload.New(context.Background(), tlsreload.Options{
			Sources: tlsreload.Pair(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")), Logger: quiet,
		})
		if err != nil {
			log.Fatal(err)
		}
		defer certs.Close()
		if blob, ok := state["tickets"]; ok {
			if err := certs.Tickets().Import(blob); err != nil { // only the sessions are lost
				log.Print(err)
			}
		}
		server := start(certs.Config())
		defer server.stop()
		fmt.Printf("generation %d resumes: %t\n", n, server.dial(client).DidResume)
		state["tickets"] = certs.Tickets().Export()
	}
	generation(1)
	generation(2)
	// Output:
	// generation 1 resumes: false
	// generation 2 resumes: true
}

// vault is a Source of one's own: whatever has certificates, such as a secret store.
type vault struct {
	mu      sync.Mutex
	cert    tls.Certificate
	changes chan struct{}
}

func (v *vault) Load(context.Context) (tlsreload.Contents, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	cert := v.cert
	return tlsreload.Contents{Certificates: []tlsreload.Certificate{{Name: "from the vault", TLS: &cert}}}, nil
}

// Watch is optional: without it the new certificate is found by the next poll.
func (v *vault) Watch(ctx context.Context, changed func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-v.changes:
			changed()
		}
	}
}

func (v *vault) put(cert tls.Certificate) {
	v.mu.Lock()
	v.cert = cert
	v.mu.Unlock()
	v.changes <- struct{}{}
}

func ExampleSource() {
	v := &vault{cert: newCertificate("a.test"), changes: make(chan struct{})}
	served := make(chan uint64, 1)
	certs, err := tlsreload.New(context.Background(), tlsreload.Options{
		Sources: []tlsreload.Source{v}, Interval: time.Hour, Logger: quiet,
		After: func(_, new tlsreload.Status) { served <- new.Generation },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer certs.Close()
	v.put(newCertificate("a.test"))
	fmt.Println("generation:", <-served)
	// Output: generation: 2
}

var quiet = slog.New(slog.DiscardHandler)

// newCertificate signs itself.
func newCertificate(names ...string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		log.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		log.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// certificateFiles writes tls.crt and tls.key into a new folder, and returns it with what clients are to trust.
func certificateFiles(names ...string) (dir string, roots *x509.CertPool) {
	dir, err := os.MkdirTemp("", "tlsreload")
	if err != nil {
		log.Fatal(err)
	}
	cert := newCertificate(names...)
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		log.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"tls.crt": {Type: "CERTIFICATE", Bytes: cert.Certificate[0]},
		"tls.key": {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			log.Fatal(err)
		}
	}
	roots = x509.NewCertPool()
	roots.AddCert(cert.Leaf)
	return dir, roots
}

// greeter writes one byte to every client.
type greeter struct {
	ln    net.Listener
	ended chan struct{}
}

func start(config *tls.Config) *greeter {
	ln, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		log.Fatal(err)
	}
	g := &greeter{ln: ln, ended: make(chan struct{})}
	go func() {
		defer close(g.ended)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte{'!'})
			c.Close()
		}
	}()
	return g
}

func (g *greeter) stop() {
	g.ln.Close()
	<-g.ended
}

// dial returns what was agreed on, or nil where the client was not let in.
func (g *greeter) dial(config *tls.Config) *tls.ConnectionState {
	c, err := tls.Dial("tcp", g.ln.Addr().String(), config)
	if err != nil {
		return nil
	}
	defer c.Close()
	if _, err := c.Read(make([]byte, 1)); err != nil {
		return nil
	}
	state := c.ConnectionState()
	return &state
}
