package demo

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"
)

// What the demo answers stays the same across upgrades, its certificate included.
func TestDemoAnswers(t *testing.T) {
	p := start(t)
	client := &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true},
		Timeout:   patience,
	}
	serial := ""
	for generation := range 3 {
		for _, url := range []string{"http://" + p.http, "https://" + p.https} {
			for method, want := range map[string]string{"GET": "ok\n", "POST": "hello", "HEAD": ""} {
				req, err := http.NewRequest(method, url, strings.NewReader("hello"))
				if err != nil {
					t.Fatal(err)
				}
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != 200 || string(body) != want {
					t.Errorf("%s %s: status %d, %q, %v", method, url, resp.StatusCode, body, err)
				}
				if got := resp.Header.Get(GenerationHeader); got != string(rune('1'+generation)) {
					t.Errorf("%s %s: generation %s, want %d", method, url, got, generation+1)
				}
				if resp.TLS != nil {
					got := resp.TLS.PeerCertificates[0].SerialNumber.String()
					if serial != "" && got != serial {
						t.Errorf("generation %d has another certificate", generation+1)
					}
					serial = got
				}
			}
			resp, err := client.Post(url, "text/plain", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			req, err := http.NewRequest("DELETE", url, nil)
			if err != nil {
				t.Fatal(err)
			}
			if resp, err = client.Do(req); err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusMethodNotAllowed {
				t.Errorf("DELETE %s: status %d", url, resp.StatusCode)
			}
		}
		p.upgrade()
	}
	if serial == "" {
		t.Error("saw no certificate")
	}
}
