package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/seed-e3b9a99f/baton/bench"
)

// requestFlags say what HTTP clients ask for.
type requestFlags struct {
	Method        string   `placeholder:"METHOD" help:"What clients ask with (GET for a connection that is opened for it, POST for one that is kept)."`
	Path          string   `placeholder:"PATH" help:"What they ask for (/, or the URL's path)."`
	Header        []string `short:"H" sep:"none" placeholder:"'NAME: VALUE'" help:"Add a header. May be repeated."`
	Body          string   `placeholder:"TEXT|@FILE" help:"What requests carry."`
	Expect        int      `placeholder:"STATUS" help:"The right status (that of the first answer)."`
	ServerName    string   `placeholder:"NAME" help:"Host header and TLS server name, instead of the address."`
	ClientCert    string   `placeholder:"FILE" help:"Certificate that the client shows (PEM)."`
	ClientKey     string   `placeholder:"FILE" help:"Its key (PEM)."`
	StreamPath    string   `placeholder:"PATH" help:"Path whose answer streams for a while, for the lanes called stream. Without it they send a POST piece by piece to a server that echoes."`
	WebsocketPath string   `placeholder:"PATH" help:"Path that echoes WebSocket messages (--path)."`
}

func (f *requestFlags) any() bool {
	return f.Method+f.Path+f.Body+f.ServerName+f.ClientCert+f.ClientKey+f.StreamPath+f.WebsocketPath != "" || f.Header != nil || f.Expect != 0
}

func (f *requestFlags) validate(b *benchCmd) error {
	switch {
	case f.any() && b.HTTP+b.HTTPS == "" && b.Comparison.Against == nil && !b.demo(),
		f.any() && b.demo():
		return errors.New("--method, --path, --server-name, --header and the like: say of what, by --http or --https")
	case (f.ClientCert == "") != (f.ClientKey == ""):
		return errors.New("--client-cert and --client-key: give both, or none of them")
	case f.ClientCert != "" && b.HTTPS == "":
		return errors.New("--client-cert: say to whom, by --https")
	case strings.ContainsAny(f.Path+f.ServerName+f.Method+f.StreamPath+f.WebsocketPath, " \r\n\t"):
		return errors.New("--path, --method, --server-name: no white space, please")
	}
	for _, path := range []string{f.Path, f.StreamPath, f.WebsocketPath} {
		if path != "" && !strings.HasPrefix(path, "/") {
			return fmt.Errorf("--path=%q: begin it with /", path)
		}
	}
	for _, h := range f.Header {
		if name, _, ok := strings.Cut(h, ":"); !ok || strings.TrimSpace(name) == "" {
			return fmt.Errorf("--header=%q: give 'Name: value'", h)
		}
	}
	return nil
}

// apply has the clients of target ask as the flags say.
func (f *requestFlags) apply(target *bench.HTTP) error {
	target.Method, target.Expect, target.StreamPath, target.WebSocketPath = f.Method, f.Expect, f.StreamPath, f.WebsocketPath
	if f.Path != "" {
		target.Path = f.Path
	}
	if f.Body != "" {
		target.Body = []byte(f.Body)
		if file, ok := strings.CutPrefix(f.Body, "@"); ok {
			text, err := os.ReadFile(file)
			if err != nil {
				return fmt.Errorf("--body: %w", err)
			}
			target.Body = text
		}
	}
	for _, h := range f.Header {
		if target.Header == nil {
			target.Header = make(http.Header)
		}
		name, value, _ := strings.Cut(h, ":")
		target.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	if f.ServerName != "" {
		target.Host = f.ServerName
	}
	if target.TLS == nil {
		return nil
	}
	if f.ServerName != "" {
		target.TLS.ServerName = f.ServerName
	}
	if f.ClientCert != "" {
		pair, err := tls.LoadX509KeyPair(f.ClientCert, f.ClientKey)
		if err != nil {
			return fmt.Errorf("--client-cert: %w", err)
		}
		target.TLS.Certificates = []tls.Certificate{pair}
	}
	return nil
}
