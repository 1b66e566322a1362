// Package demo is the server that baton demo runs: HTTP/1.1 and HTTP/2, with TLS and without, WebSockets and a TCP echo,
// all of which upgrade on SIGHUP.
package demo

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/seed-e3b9a99f/baton/upgrader"
)

// Config says what to serve. An empty address leaves its listener out.
type Config struct {
	HTTP, HTTPS, TCP string           // addresses to listen on
	Cert, Key        string           // PEM files for HTTPS, which may change; empty for a certificate of its own
	Upgrader         upgrader.Options // pidfile, timeouts, log
	Ready            io.Writer        // gets one line when the first generation is ready
}

// GenerationHeader is in every HTTP response, so that a client can see which generation has answered.
const GenerationHeader = "Baton-Generation"

// Run serves until the process was replaced or stopped, and returns what it should exit with.
func Run(ctx context.Context, c Config) error {
	log := c.Upgrader.Logger
	if log == nil {
		log = slog.Default()
	}
	c.Upgrader.OwnTicketKeys = true // tlsreload's
	return upgrader.Run(ctx, c.Upgrader, func(u *upgrader.Upgrader) error {
		bound := make(map[string]net.Addr)
		open := func(name, address string, p upgrader.Protocol) (net.Listener, error) {
			ln, err := u.ListenNamed(name, "tcp", address, p)
			if err != nil {
				return nil, err
			}
			bound[name] = ln.Addr()
			return ln, nil
		}
		server := func() *http.Server {
			return &http.Server{Handler: handler(u.Generation()), ReadHeaderTimeout: time.Minute, IdleTimeout: 2 * time.Minute}
		}
		if c.HTTP != "" {
			ln, err := open("http", c.HTTP, upgrader.HTTP)
			if err != nil {
				return err
			}
			srv := server()
			srv.Protocols = new(http.Protocols)
			srv.Protocols.SetHTTP1(true)
			srv.Protocols.SetUnencryptedHTTP2(true)
			u.Go(func() error { return u.Serve(srv, ln) })
		}
		if c.HTTPS != "" {
			ln, err := open("https", c.HTTPS, upgrader.TLS)
			if err != nil {
				return err
			}
			if err := serveTLS(ctx, u, log, c, server(), ln); err != nil {
				return err
			}
		}
		if c.TCP != "" {
			ln, err := open("tcp", c.TCP, upgrader.TCP)
			if err != nil {
				return err
			}
			if err := serveEcho(u, log, ln); err != nil {
				return err
			}
		}
		if c.Ready != nil && !u.HasParent() {
			go func() {
				<-u.InCharge()
				printReady(c, bound)
			}()
		}
		return nil
	})
}

func printReady(c Config, bound map[string]net.Addr) {
	line := "ready"
	for _, name := range []string{"http", "https", "tcp"} {
		if addr := bound[name]; addr != nil {
			line += fmt.Sprintf(" %s=%s", name, addr)
		}
	}
	fmt.Fprintf(c.Ready, "%s pid=%d pid-file=%s\n", line, os.Getpid(), c.Upgrader.PIDFile)
}

// handler answers GET with "ok" and POST with its body, as that arrives. At webSocketPath it echoes a WebSocket.
func handler(generation int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == webSocketPath {
			webSocket(w, r, generation)
			return
		}
		w.Header().Set(GenerationHeader, strconv.Itoa(generation))
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			_, _ = io.WriteString(w, "ok\n")
		case http.MethodPost:
			if r.ContentLength >= 0 {
				w.Header().Set("Content-Length", strconv.FormatInt(r.ContentLength, 10))
			}
			echoBody(w, r)
		default:
			w.Header().Set("Allow", "GET, HEAD, POST")
			http.Error(w, "GET answers ok, POST echoes", http.StatusMethodNotAllowed)
		}
	})
}

const pieceSize = 32 << 10

var pieces = sync.Pool{New: func() any { return new([pieceSize]byte) }}

// echoBody sends each piece of the body back when it arrives, and does not wait for the next one.
func echoBody(w http.ResponseWriter, r *http.Request) {
	answer := http.NewResponseController(w)
	_ = answer.EnableFullDuplex()
	var sent int64
	buffer := pieces.Get().(*[pieceSize]byte)
	defer pieces.Put(buffer)
	piece := buffer[:]
	for {
		n, err := r.Body.Read(piece)
		if n > 0 {
			if _, writeErr := w.Write(piece[:n]); writeErr != nil {
				return
			}
			sent += int64(n)
		}
		if err != nil {
			if err != io.EOF {
				panic(http.ErrAbortHandler) // or a chunked echo would end as if it were whole
			}
			return
		}
		if sent != r.ContentLength { // the last piece goes out with the end, in one write
			_ = answer.Flush()
		}
	}
}
