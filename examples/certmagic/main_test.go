package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/examples/certmagic/internal/pebbletest"
)

func TestTheProgramObtainsAndServes(t *testing.T) {
	acme := pebbletest.Start(t)
	acme.Listener.Close() // it is the program's
	roots := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, acme.APIPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	log, stderr := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, []string{
			"-domains", "www.baton.test,api.baton.test", "-email", "test@baton.test", "-ca", acme.Directory, "-ca-roots", roots,
			"-storage", t.TempDir(), "-http", fmt.Sprintf("127.0.0.1:%d", acme.HTTPPort), "-https", "127.0.0.1:0",
		}, stderr)
		stderr.Close()
		ended <- err
	}()
	lines := bufio.NewScanner(log)
	address := ""
	for address == "" && lines.Scan() {
		if _, after, ok := strings.Cut(lines.Text(), "msg=serving address="); ok {
			address = after
		}
	}
	if address == "" {
		t.Fatalf("it does not serve: %v", <-ended)
	}
	for _, name := range []string{"www.baton.test", "api.baton.test"} {
		client := &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: acme.Roots, ServerName: name}, DisableKeepAlives: true, ForceAttemptHTTP2: true,
		}}
		response, err := client.Get("https://" + address)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || !strings.HasPrefix(string(text), "hello from ") || response.ProtoMajor != 2 {
			t.Errorf("%v, %q by HTTP/%d", err, text, response.ProtoMajor)
		}
	}
	stop()
	go func() { _, _ = io.Copy(io.Discard, log) }()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestItNeedsNames(t *testing.T) {
	if err := run(t.Context(), nil, io.Discard); err == nil || !strings.Contains(err.Error(), "-domains is empty") {
		t.Errorf("%v", err)
	}
}
