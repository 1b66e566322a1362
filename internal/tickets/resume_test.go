package tickets

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"testing"
	"time"
)

// server returns the config of one that has a certificate of its own.
func server(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(1000 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// client returns the config of one that has a session to resume after its first connection.
func client(version uint16) *tls.Config {
	return &tls.Config{
		InsecureSkipVerify: true, ServerName: "test", MinVersion: version, MaxVersion: version,
		ClientSessionCache: tls.NewLRUClientSessionCache(1),
	}
}

// resumes connects, and reports whether it was by a ticket.
func resumes(t *testing.T, client, server *tls.Config) bool {
	t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	failed := make(chan error, 1)
	go func() {
		c, err := ln.Accept()
		if err == nil {
			defer c.Close()
			_, err = c.Write([]byte{1})
		}
		failed <- err
	}()
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", ln.Addr().String(), client)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil { // with TLS 1.3 the ticket comes before it
		t.Fatal(err)
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	return c.ConnectionState().DidResume
}

// sessionState returns what a ticket holds.
func sessionState(t *testing.T) *tls.SessionState {
	t.Helper()
	config, state := server(t), (*tls.SessionState)(nil)
	config.WrapSession = func(cs tls.ConnectionState, s *tls.SessionState) ([]byte, error) {
		state = s
		return config.EncryptTicket(cs, s)
	}
	resumes(t, client(tls.VersionTLS13), config)
	return state
}

func TestResumption(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			now := epoch
			r := New(time.Hour, 2, now)
			web, api := server(t), server(t)
			r.Use(web, "web")
			r.Use(api, "api")
			c := client(version)
			connect := func(step string, config *tls.Config, want bool) {
				t.Helper()
				if got := resumes(t, c, config); got != want {
					t.Fatalf("%s: resumed is %v", step, got)
				}
			}
			connect("first", web, false)
			connect("second", web, true)
			connect("another domain", api, false)
			connect("back with the ticket of another domain", web, false)
			now = r.Next(now)
			r.Rotate(now)
			connect("rotated once", web, true) // which gives it a ticket of the new key
			now = r.Next(now)
			r.Rotate(now)
			connect("rotated again", web, true)

			next := New(time.Hour, 2, now)
			successor := server(t)
			next.Use(successor, "web")
			if err := next.Import(r.Export(), now); err != nil {
				t.Fatal(err)
			}
			connect("the next process", successor, true)
			for range 2 {
				now = next.Next(now)
				next.Rotate(now)
			}
			connect("its key is no longer kept", successor, false)
			connect("with a new one", successor, true)
			next.InvalidateAll(now)
			connect("invalidated", successor, false)
			connect("and again", successor, true)
		})
	}
}
