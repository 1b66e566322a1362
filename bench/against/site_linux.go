package against

import (
	"bytes"
	"embed"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"text/template"
	"time"
)

// site is where a peer is to be started: a folder with a certificate, and addresses that are free. The templates in
// config/ see its fields.
type site struct {
	Options
	Dir              string
	HTTP, HTTPS, TCP string // TCP is "" where the peer has none
	Admin            string
	To               addresses // the upstream

	Stream              string // path of nginx's stream module, or ""
	IdleCloseOnResponse bool
}

type addresses struct{ HTTP, TCP string }

//go:embed config
var configs embed.FS

func newSite(dir string, o Options) (*site, error) {
	// Relative paths in a configuration are relative to the folder it is in, or to the working directory: the same here.
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	// nginx's workers are another user's processes, and look for their folder for temporary files here.
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	s := &site{Options: o, Dir: dir}
	if err := freeAddresses(&s.HTTP, &s.HTTPS, &s.TCP, &s.Admin, &s.To.HTTP, &s.To.TCP); err != nil {
		return nil, err
	}
	cert, key, err := newCertificate()
	if err != nil {
		return nil, err
	}
	for file, content := range map[string][]byte{
		"cert.pem": cert, "key.pem": key, "both.pem": bytes.Join([][]byte{cert, key}, nil),
	} {
		if err := os.WriteFile(s.path(file), content, 0o600); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *site) path(file string) string { return filepath.Join(s.Dir, file) }

// DrainOr returns the drain deadline, or the manual's where none is set.
func (s *site) DrainOr(manual string) string {
	if s.Drain == 0 {
		return manual
	}
	return fmt.Sprintf("%dms", s.Drain.Milliseconds())
}

// configure writes one of the files in config/ into the site's folder, and returns its path.
func (s *site) configure(file string) (string, error) {
	t, err := template.New(file).Funcs(template.FuncMap{
		"host": func(address string) (string, error) { host, _, err := net.SplitHostPort(address); return host, err },
		"port": func(address string) (string, error) { _, port, err := net.SplitHostPort(address); return port, err },
	}).ParseFS(configs, "config/"+file)
	if err != nil {
		return "", err
	}
	var text bytes.Buffer
	if err := t.Execute(&text, s); err != nil {
		return "", err
	}
	return s.path(file), os.WriteFile(s.path(file), text.Bytes(), 0o644)
}

// freeAddresses finds ports that are free, on an address of this machine that hardly anybody else uses, since nobody
// holds them until the peer listens.
func freeAddresses(to ...*string) error {
	host := fmt.Sprintf("127.%d.%d.%d:0", 1+mathrand.IntN(250), mathrand.IntN(250), 1+mathrand.IntN(250))
	for _, address := range to {
		l, err := net.Listen("tcp", host)
		if err != nil {
			return fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close()
		*address = l.Addr().String()
	}
	return nil
}

// until asks done again and again, until it says yes or fails, or limit is over.
func until(stop <-chan struct{}, limit time.Duration, done func() (bool, error)) error {
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	late := time.NewTimer(limit)
	defer late.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-poll.C:
		case <-stop:
			return errStopped
		case <-late.C:
			return fmt.Errorf("not within %v", limit)
		}
	}
}
