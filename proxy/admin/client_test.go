package admin

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestBothEnds(t *testing.T) {
	f := &fakeProxy{
		status:   full(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)),
		reloaded: ReloadResult{Changes: []string{"listener web: opened on :8080"}},
	}
	c, ctx := NewClient(serve(t, Handler(f, quiet()))), t.Context()

	if got, err := c.Status(ctx); err != nil || !reflect.DeepEqual(got, f.status.answer()) {
		t.Errorf("the status is\n%+v (%v), want\n%+v", got, err, f.status)
	}
	if got, err := c.Reload(ctx); err != nil || !reflect.DeepEqual(got, f.reloaded) {
		t.Errorf("the reload did %+v (%v)", got, err)
	}
	for _, on := range []bool{true, false, true} {
		if err := c.SetMaintenance(ctx, on); err != nil {
			t.Error(err)
		}
		if got, err := c.Maintenance(ctx); err != nil || got != on {
			t.Errorf("maintenance is %v (%v), want %v", got, err, on)
		}
	}

	f.err = errBroken
	_, errStatus := c.Status(ctx)
	_, errReload := c.Reload(ctx)
	for err, code := range map[error]int{
		errStatus: http.StatusInternalServerError, errReload: http.StatusUnprocessableEntity,
		c.SetMaintenance(ctx, false): http.StatusInternalServerError,
	} {
		var remote *RemoteError
		if !errors.As(err, &remote) || remote.Code != code || err.Error() != errBroken.Error() {
			t.Errorf("the error is %#v, want the proxy's own and status %d", err, code)
		}
	}
	if !f.Maintenance() {
		t.Error("what failed has changed the mode")
	}
}

func TestAClientKeepsNoConnection(t *testing.T) {
	closes := make(chan bool, 1)
	c := NewClient(serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		closes <- r.Close
		reply(w, http.StatusOK, Status{}.answer())
	})))
	if _, err := c.Status(t.Context()); err != nil || !<-closes {
		t.Errorf("the client would use its connection again (%v)", err)
	}
}

// Progress arrives while the upgrade still runs, and not at its end.
func TestUpgradeTellsItsProgress(t *testing.T) {
	seen := make(chan string, 2)
	f := &fakeProxy{upgrade: func(_ context.Context, progress func(string)) error {
		for _, step := range []string{"started pid 4712", "", "ready"} {
			progress(step)
			if step == "" {
				continue
			}
			select {
			case <-seen:
			case <-time.After(5 * time.Second):
				return errors.New("the operator has not been told: " + step)
			}
		}
		return nil
	}}
	c := NewClient(serve(t, Handler(f, quiet())))
	var told []string
	err := c.Upgrade(t.Context(), func(s string) { told = append(told, s); seen <- s })
	if err != nil || !slices.Equal(told, []string{"started pid 4712", "ready"}) {
		t.Errorf("the operator was told %q, %v", told, err)
	}
}

func TestAnUpgradeThatFails(t *testing.T) {
	late := make(chan func(string), 1)
	f := &fakeProxy{upgrade: func(_ context.Context, progress func(string)) error {
		progress("started")
		late <- progress
		return errBroken
	}}
	c := NewClient(serve(t, Handler(f, quiet())))
	var remote *RemoteError
	if err := c.Upgrade(t.Context(), nil); !errors.As(err, &remote) || remote.Message != errBroken.Error() {
		t.Errorf("the error is %v", err)
	}
	(<-late)("too late") // the answer has ended; this must not touch it
}

func TestAProxyThatDiesInAnUpgrade(t *testing.T) {
	c := NewClient(serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("{\"progress\":\"started\"}\n"))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})))
	if err := c.Upgrade(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "went away before it said") {
		t.Errorf("the error is %v", err)
	}
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	release := make(chan struct{})
	f := &fakeProxy{upgrade: func(ctx context.Context, progress func(string)) error {
		progress("started")
		<-ctx.Done() // the proxy is told that the operator has gone
		close(release)
		return nil
	}}
	c := NewClient(serve(t, Handler(f, quiet())))
	ctx, cancel := context.WithCancel(t.Context())
	err := c.Upgrade(ctx, func(string) { cancel() })
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "which goes on") {
		t.Errorf("the error is %v", err)
	}
	<-release

	stuck := NewClient(serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })))
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := stuck.Status(ctx); !errors.Is(err, context.DeadlineExceeded) ||
		!strings.Contains(err.Error(), "did not answer in time") {
		t.Errorf("the error is %v", err)
	}
}

func TestAProxyThatHangsUp(t *testing.T) {
	socket := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	want := "the proxy on " + socket + " hung up without an answer: its log may say why: EOF"
	if _, err := NewClient(socket).Reload(t.Context()); err == nil || err.Error() != want {
		t.Errorf("the error is %v, want %s", err, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	want = "ask the proxy on " + socket + ": context canceled"
	if _, err := NewClient(socket).Reload(ctx); !errors.Is(err, context.Canceled) || err.Error() != want {
		t.Errorf("the error is %v, want %s", err, want)
	}
}

func TestNobodyAnswers(t *testing.T) {
	dir := t.TempDir()
	file, dead := filepath.Join(dir, "file"), filepath.Join(dir, "dead.sock")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false) // as a killed proxy leaves it
	ln.Close()
	for _, socket := range []string{filepath.Join(dir, "none.sock"), dead, file} {
		_, err := NewClient(socket).Status(t.Context())
		want := "no baton proxy answers on " + socket + ": is it running? --socket names another: "
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Count(err.Error(), socket) != 1 {
			t.Errorf("the error is %q, want %q and the cause", err, want)
		}
		if err := NewClient(socket).Upgrade(t.Context(), nil); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("of an upgrade, the error is %q", err)
		}
	}
	if _, err := NewClient(filepath.Join(dir, "none.sock")).Status(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the error %v does not carry its cause", err)
	}
}

func TestSomethingElseAnswers(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"a page":        func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"nothing":       func(http.ResponseWriter, *http.Request) {},
		"another error": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusTeapot) },
		"empty error":   func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusTeapot, failure{}) },
		"an object":     func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) },
	} {
		t.Run(name, func(t *testing.T) {
			c := NewClient(serve(t, answer))
			if _, err := c.Maintenance(t.Context()); err == nil || !strings.Contains(err.Error(), "is no baton proxy") {
				t.Errorf("the error is %v", err)
			}
		})
	}
}
