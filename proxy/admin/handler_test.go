package admin

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestWhatIsAskedWrong(t *testing.T) {
	f := &fakeProxy{}
	socket := serve(t, Handler(f, quiet()))
	for _, c := range []struct {
		method, path, body string
		code               int
		says               string
	}{
		{"GET", "/", "", 404, "there is no /: ask for /status, /upgrade, /reload or /maintenance"},
		{"GET", "/status/", "", 404, "there is no /status/"},
		{"POST", "/status", "", 405, "/status does not take POST: use GET"},
		{"GET", "/upgrade", "", 405, "/upgrade does not take GET: use POST"},
		{"PUT", "/reload", "", 405, "use POST"},
		{"DELETE", "/maintenance", "", 405, "use GET or PUT"},
		{"PUT", "/maintenance", "", 400, `the body must be {"on":true} or {"on":false}: EOF`},
		{"PUT", "/maintenance", "on", 400, "the body must be"},
		{"PUT", "/maintenance", "{}", 400, `it has no "on"`},
		{"PUT", "/maintenance", `{"on":"yes"}`, 400, "the body must be"},
		{"PUT", "/maintenance", `{"on":true,"until":"noon"}`, 400, `unknown field "until"`},
		{"PUT", "/maintenance", `{"on":true}{"on":false}`, 400, "something follows"},
		{"PUT", "/maintenance", strings.Repeat(" ", maxBody) + `{"on":true}`, 400, "too large"},
	} {
		code, body, header := ask(t, socket, c.method, c.path, c.body)
		var got failure
		if err := json.Unmarshal([]byte(body), &got); err != nil || header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %q is not JSON: %v", c.method, c.path, body, err)
		}
		if code != c.code || !strings.Contains(got.Error, c.says) {
			t.Errorf("%s %s %.20s: status %d, %q; want %d, %q", c.method, c.path, c.body, code, got.Error, c.code, c.says)
		}
		if code == 405 && header.Get("Allow") == "" {
			t.Errorf("%s %s: no Allow", c.method, c.path)
		}
	}
	if f.Maintenance() {
		t.Error("a wrong request has switched maintenance mode on")
	}
}

func TestTheUpgradesAnswerIsLines(t *testing.T) {
	end := error(nil)
	f := &fakeProxy{upgrade: func(_ context.Context, progress func(string)) error {
		progress("one\ntwo")
		return end
	}}
	socket := serve(t, Handler(f, quiet()))
	code, body, header := ask(t, socket, "POST", "/upgrade", "")
	want := "{\"progress\":\"one\\ntwo\"}\n{\"done\":true}\n"
	if code != 200 || body != want || header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("status %d, %v:\n%s", code, header, body)
	}
	end = errBroken
	want = "{\"progress\":\"one\\ntwo\"}\n{\"error\":\"the file is broken: see line 7\"}\n"
	if _, body, _ = ask(t, socket, "POST", "/upgrade", ""); body != want {
		t.Errorf("the answer is\n%s", body)
	}
}

func TestWhatAnOperatorChangesIsLogged(t *testing.T) {
	var log strings.Builder // written before each answer ends, read after the last
	f := &fakeProxy{err: errBroken, upgrade: func(context.Context, func(string)) error { return errBroken }}
	socket := serve(t, Handler(f, slog.New(slog.NewTextHandler(&log, nil))))
	ask(t, socket, "GET", "/status", "")
	ask(t, socket, "POST", "/upgrade", "")
	ask(t, socket, "POST", "/reload", "")
	ask(t, socket, "PUT", "/maintenance", `{"on":true}`)
	for _, line := range []string{
		`msg="an operator asks for an upgrade"`, `msg="the upgrade that an operator asked for failed" error="the file`,
		`msg="an operator asks for a reload"`, `msg="the reload that an operator asked for failed" error="the file`,
		`msg="an operator switches maintenance mode" on=true`, `msg="maintenance mode was not switched" error="the file`,
		`status failed" error="the file`,
	} {
		if !strings.Contains(log.String(), line) {
			t.Errorf("the log lacks %s:\n%s", line, log.String())
		}
	}
}

// A zero time would be read as the year 1, and a program that goes through a list does not expect null.
func TestWhatIsEmptyAsJSON(t *testing.T) {
	f := &fakeProxy{status: Status{Upstreams: []Upstream{{}, {Servers: []Server{{}}}}, Certificates: []Certificate{{}}}}
	socket := serve(t, Handler(f, quiet()))
	_, status, _ := ask(t, socket, "GET", "/status", "")
	_, reload, _ := ask(t, socket, "POST", "/reload", "")
	for _, body := range []string{status, reload} {
		if strings.Contains(body, "0001-01-01") || strings.Contains(body, "null") {
			t.Error(body)
		}
	}
	if f.status.Upstreams[0].Servers != nil || f.status.Certificates[0].Names != nil {
		t.Error("the service's own status was changed")
	}
}

func ask(t *testing.T, socket, method, path, body string) (code int, answer string, header http.Header) {
	t.Helper()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: dial}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://x"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(all), resp.Header
}
