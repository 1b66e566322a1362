package tlsreload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"syscall"
	"time"
)

// Pair is the Source of one certificate and its key in two files.
func Pair(cert, key string) []Source {
	return []Source{&Files{Certificates: []FilePair{{Cert: cert, Key: key}}}}
}

// Files is a Source of PEM files. A Certificate is called what its FilePair.Cert says, and a ClientCA what its path is.
type Files struct {
	Certificates []FilePair
	ClientCAs    []string // paths of bundles
}

// FilePair is a certificate in files.
type FilePair struct {
	Cert   string // the leaf, and those above it; PEM
	Key    string // PEM, not encrypted; empty where it stands in Cert
	Staple string // an OCSP response in DER; empty for none
}

const maxFile = 1 << 20 // a full bundle of public CAs has a quarter of that

// quiet is for how long nobody has to have written a file until it counts as at rest. The time of the last write may be
// by another machine's clock (NFS), so it is far more than what clocks differ by. With one that is off by more, a chain
// that ends between two certificates is served until the next look; whatever else is half-written does not parse.
const quiet = time.Minute

// Load reads every file.
func (f *Files) Load(ctx context.Context) (Contents, error) {
	c, now := Contents{rest: atRest}, time.Now()
	read := func(path string) ([]byte, error) {
		b, info, err := readRegular(path, maxFile)
		if err != nil || !resting(info, now) {
			c.rest = unsure
		}
		return b, err
	}
	for _, p := range f.Certificates {
		if err := ctx.Err(); err != nil {
			return Contents{}, err
		}
		cert := Certificate{Name: p.Cert}
		cert.Chain, cert.Err = read(p.Cert)
		if p.Key != "" && cert.Err == nil {
			cert.Key, cert.Err = read(p.Key)
		}
		if p.Staple != "" && cert.Err == nil {
			// Without a staple the certificate is as good as before.
			if staple, err := read(p.Staple); err == nil {
				cert.Staple = staple
			} else if !errors.Is(err, fs.ErrNotExist) {
				cert.Err = err
			}
		}
		c.Certificates = append(c.Certificates, cert)
	}
	for _, path := range f.ClientCAs {
		ca := ClientCA{Name: path}
		ca.PEM, ca.Err = read(path)
		c.ClientCAs = append(c.ClientCAs, ca)
	}
	return c, nil
}

// resting tells whether nobody was writing a file when info was had of it, which is after it was read: a write sets the
// time before anybody can read what it wrote. A time to come tells nothing, and neither does any on Windows, which may
// keep the old one until the writer is done (learn.microsoft.com/windows/win32/sysinfo/file-times).
func resting(info fs.FileInfo, now time.Time) bool {
	return runtime.GOOS != "windows" && now.Sub(info.ModTime()) >= quiet
}

// readRegular reads a regular file, and does not wait where it is another kind. The info is of after that.
func readRegular(path string, most int64) ([]byte, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a named pipe would wait for a writer
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	return readOpen(f, path, most)
}

func readOpen(f fs.File, path string, most int64) ([]byte, fs.FileInfo, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("read %s: not a regular file", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, nil, err
	}
	if int64(len(b)) > most {
		return nil, nil, fmt.Errorf("read %s: it has more than %d bytes: is it the right file?", path, most)
	}
	info, err = f.Stat()
	return b, info, err
}

func (f *Files) paths() []string {
	paths := append([]string(nil), f.ClientCAs...)
	for _, p := range f.Certificates {
		for _, path := range []string{p.Cert, p.Key, p.Staple} {
			if path != "" {
				paths = append(paths, path)
			}
		}
	}
	return paths
}
