// Package service is what every baseline serves, so that they differ in how they are upgraded and in nothing else: HTTP
// and HTTPS that answer GET with "ok\n" and POST with its own body, and a TCP echo.
//
//	c := service.Flags()
//	http.ListenAndServe(c.HTTP, service.Handler())
//
// Each answer names the process that gave it, in the header [GenerationHeader].
//
// Limits: HTTP/1.1, one certificate, and the echo is cut when its process ends.
package service

import (
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// GenerationHeader is the response header that holds the pid of the process that answers.
const GenerationHeader = "Baton-Generation"

// Config is what the command line says. An address is "" where the program does not serve that.
type Config struct {
	HTTP, HTTPS, TCP string
	Cert, Key        string // files, PEM
	PIDFile          string
	Drain            time.Duration // how long a replaced process finishes what it serves; 0: as the library's own example
}

// Flags parses the command line. It exits if that is wrong.
func Flags() Config {
	var c Config
	flag.StringVar(&c.HTTP, "http", "", "`address` for HTTP")
	flag.StringVar(&c.HTTPS, "https", "", "`address` for HTTPS")
	flag.StringVar(&c.TCP, "tcp", "", "`address` for the TCP echo")
	flag.StringVar(&c.Cert, "cert", "", "certificate `file` (PEM)")
	flag.StringVar(&c.Key, "key", "", "key `file` (PEM)")
	flag.StringVar(&c.PIDFile, "pid-file", "", "`file` that names the process to signal")
	flag.DurationVar(&c.Drain, "drain", 0, "how long a replaced process may finish (as the library's example has it)")
	flag.Parse()
	return c
}

// DrainOr returns the drain deadline, or otherwise where none was given.
func (c Config) DrainOr(otherwise time.Duration) time.Duration {
	if c.Drain == 0 {
		return otherwise
	}
	return c.Drain
}

// TLS returns the configuration of the HTTPS server.
func (c Config) TLS() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}}, nil
}

// Handler answers.
func Handler() http.Handler {
	pid := strconv.Itoa(os.Getpid())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(GenerationHeader, pid)
		if r.Method != http.MethodPost {
			io.WriteString(w, "ok\n")
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Write(body)
	})
}

// WritePID names this process in a file, which is replaced as a whole.
func WritePID(path string) error {
	whole := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%d.pid", os.Getpid()))
	if err := os.WriteFile(whole, fmt.Appendln(nil, os.Getpid()), 0o644); err != nil {
		return err
	}
	return os.Rename(whole, path)
}

// Must ends the process with the error, if there is one.
func Must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
