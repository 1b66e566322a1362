package bench

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// A client that has to connect again resumes its TLS session, and another client does not have it.
func TestKeepAliveResumes(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		_, _ = io.Copy(w, r.Body)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // the first probe says nothing
	server.StartTLS()
	defer server.Close()
	target, err := ParseHTTP("https", server.URL)
	if err != nil {
		t.Fatal(err)
	}
	target.TLS = &tls.Config{InsecureSkipVerify: true}
	lane := KeepAlive(target)
	if _, err := lane.Probe(context.Background()); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(30 * time.Second)
	for id := range 2 {
		c := lane.Client(context.Background(), id)
		for seq := range int64(3) {
			r := c.Do(seq, deadline)
			if r.Err != nil {
				t.Fatal(r.Err)
			}
			if want := seq > 0; r.Opened != 1 || r.Resumed != want {
				t.Errorf("client %d, connection %d: resumed %v, want %v", id, seq, r.Resumed, want)
			}
		}
		c.Close()
	}
}
