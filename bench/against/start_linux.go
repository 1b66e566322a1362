package against

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed-e3b9a99f/baton/bench"
)

// readyLimit is how long a peer may take until it serves.
const readyLimit = 20 * time.Second

// Start starts the peer in a folder of its own below dir, and waits until it serves. The error is a *[Missing] if the
// peer is not on this machine. The caller must call Stop, and removes dir. The program must call [Reexec] first of all.
func (p Peer) Start(ctx context.Context, dir string, o Options) (*Running, error) {
	s, err := newSite(filepath.Join(dir, p.Name), o)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.Name, err)
	}
	l, err := launches[p.Name](s)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.Name, err)
	}
	k, err := keep(s, p.proxy, l.args)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.Name, err)
	}
	r := &Running{
		Peer: p, HTTP: s.HTTP, HTTPS: s.HTTPS, TCP: s.TCP,
		PIDFile: l.pidFile, GenerationHeader: l.header, Trigger: l.trigger, Log: k.log, keeper: k,
	}
	if err := r.await(ctx); err != nil {
		err = fmt.Errorf("start %s: %w%s", p.Name, err, lastWords(k.log))
		return nil, errors.Join(err, r.Stop())
	}
	return r, nil
}

// await returns when all of the peer's addresses are served.
func (r *Running) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyLimit, fmt.Errorf("not ready within %v", readyLimit))
	defer cancel()
	for _, ask := range []func() error{
		func() error { return getOK(ctx, "http", r.HTTP) },
		func() error { return getOK(ctx, "https", r.HTTPS) },
		func() error { return connect(ctx, r.TCP) },
		func() error { return r.named() },
	} {
		var last error
		err := until(r.keeper.done, readyLimit, func() (bool, error) {
			if last = ask(); last == nil {
				return true, nil
			}
			return false, context.Cause(ctx)
		})
		if err == errStopped {
			return errors.New("it ended before it was ready")
		}
		if err != nil {
			return fmt.Errorf("%w: %w", err, last)
		}
	}
	return nil
}

// named returns nil once the pidfile is there, if there is to be one.
func (r *Running) named() error {
	if r.PIDFile == "" {
		return nil
	}
	_, err := pidIn(r.PIDFile)
	return err
}

func connect(ctx context.Context, address string) error {
	if address == "" {
		return nil
	}
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return c.Close()
}

func getOK(ctx context.Context, scheme, address string) error {
	target, err := bench.ParseHTTP(scheme, address)
	if err != nil {
		return err
	}
	transport := &http.Transport{TLSClientConfig: target.TLS, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+address+"/", nil)
	if err != nil {
		return err
	}
	answer, err := transport.RoundTrip(ask)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && (answer.StatusCode != http.StatusOK || string(body) != "ok\n") {
		err = fmt.Errorf("GET %s://%s/: %s %.40q", scheme, address, answer.Status, body)
	}
	return err
}

// lastWords returns the last lines of a log as "; it said: ...", or "" if there are none.
func lastWords(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if said := strings.Join(lines[max(0, len(lines)-3):], " | "); said != "" {
		return "; it said: " + said
	}
	return ""
}
