package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"syscall"
)

// Client asks a running proxy. Its methods may be called from many goroutines, and wait as long as their context.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient returns a client of the proxy whose admin socket is at a path. It connects when it is asked something, and
// keeps no connection.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	return &Client{socket, &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// RemoteError is what the proxy answered: it was reached, and did not do it.
type RemoteError struct {
	Code    int // the HTTP status; 200 where an upgrade had begun
	Message string
}

func (e *RemoteError) Error() string { return e.Message }

// Status asks how the proxy is doing.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	err = c.ask(ctx, http.MethodGet, "/status", nil, &s)
	return s, err
}

// Reload makes the proxy's configuration file take effect.
func (c *Client) Reload(ctx context.Context) (r ReloadResult, err error) {
	err = c.ask(ctx, http.MethodPost, "/reload", nil, &r)
	return r, err
}

// Maintenance asks whether maintenance mode is on.
func (c *Client) Maintenance(ctx context.Context) (on bool, err error) {
	var m mode
	if err := c.ask(ctx, http.MethodGet, "/maintenance", nil, &m); err != nil {
		return false, err
	}
	if m.On == nil {
		return false, c.strange(errors.New(`no "on"`))
	}
	return *m.On, nil
}

// SetMaintenance switches maintenance mode.
func (c *Client) SetMaintenance(ctx context.Context, on bool) error {
	return c.ask(ctx, http.MethodPut, "/maintenance", mode{&on}, &mode{})
}

// Upgrade makes the proxy replace itself by the program on disk, has progress called with each step, and returns when
// the new one is in charge or the upgrade has failed. A context that ends ends the waiting, not the upgrade.
func (c *Client) Upgrade(ctx context.Context, progress func(string)) error {
	resp, err := c.do(ctx, http.MethodPost, "/upgrade", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for lines := json.NewDecoder(resp.Body); ; {
		var e event
		switch err := lines.Decode(&e); {
		case err != nil && ctx.Err() != nil:
			return fmt.Errorf("stopped waiting for the upgrade, which goes on: %w", ctx.Err())
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
			return errors.New("the proxy went away before it said how the upgrade ended: baton status tells who serves")
		case err != nil:
			return c.strange(err)
		case e.Error != "":
			return &RemoteError{resp.StatusCode, e.Error}
		case e.Done:
			return nil
		case progress != nil && e.Progress != "":
			progress(e.Progress)
		}
	}
}

func (c *Client) ask(ctx context.Context, method, path string, body, answer any) error {
	resp, err := c.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(answer); err != nil {
		if ctx.Err() != nil {
			return c.unreachable(ctx.Err())
		}
		return c.strange(err)
	}
	return nil
}

// do returns an answer whose code is 200; the caller closes its body.
func (c *Client) do(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var sent []byte
	if body != nil {
		var err error
		if sent, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://baton"+path, bytes.NewReader(sent))
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	var f failure
	if err := json.NewDecoder(resp.Body).Decode(&f); err != nil || f.Error == "" {
		return nil, c.strange(fmt.Errorf("HTTP status %s", resp.Status))
	}
	return nil, &RemoteError{resp.StatusCode, f.Error}
}

// unreachable says what to do about a proxy that did not answer.
func (c *Client) unreachable(err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the proxy on %s did not answer in time: ask again, or see its log: %w", c.socket, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("may not open %s: only %s may: %w", c.socket, owner(c.socket), fs.ErrPermission)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTSOCK):
		return fmt.Errorf("no baton proxy answers on %s: is it running? --socket names another: %w", c.socket, cause(err))
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fmt.Errorf("the proxy on %s hung up without an answer: its log may say why: %w", c.socket, cause(err))
	}
	return fmt.Errorf("ask the proxy on %s: %w", c.socket, cause(err))
}

// strange is an answer that no proxy gives.
func (c *Client) strange(err error) error {
	return fmt.Errorf("what answers on %s is no baton proxy, or not of this version: %w", c.socket, err)
}

// cause drops the URL and the path, which the message has already.
func cause(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	var asked *url.Error
	if errors.As(err, &asked) {
		return asked.Err
	}
	return err
}
