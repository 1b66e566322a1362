package relay

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A blocking description may come out of a caller's Fd. A splice from it would hold the loop up.
func TestImportMakesSocketsNonBlocking(t *testing.T) {
	a, b := newEngines(t)
	client, server, r := start(t, a, Config{})
	st, err := r.Export()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range st.Files {
		fd, err := dup(f)
		if err != nil {
			t.Fatal(err)
		}
		unix.SetNonblock(fd, false)
		unix.Close(fd)
	}
	if _, err := b.Import(st, Config{}); err != nil {
		t.Fatal(err)
	}
	bulk := make([]byte, 8<<20)
	go client.Write(bytes.Clone(bulk))
	server.SetDeadline(time.Now().Add(10 * time.Second))
	client.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(server, bulk); err != nil {
		t.Error(err)
	}
	server.Write([]byte("and back"))
	if _, err := io.ReadFull(client, bulk[:8]); err != nil {
		t.Error(err)
	}
}

func TestImportRefusesWhatMakesNoSense(t *testing.T) {
	e := newEngine(t)
	client, server, r := start(t, e, Config{})
	fill(t, client)
	st, err := r.Export()
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	dgram, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	dgramFile := os.NewFile(uintptr(dgram), "datagram")
	defer dgramFile.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	newer := bytes.Clone(st.Blob)
	newer[4]++
	for name, c := range map[string]struct {
		files []*os.File
		blob  []byte
		want  error
	}{
		"nothing":         {nil, nil, ErrMalformed},
		"garbage":         {st.Files, []byte("garbage, and much of it"), ErrMalformed},
		"another version": {st.Files, newer, ErrVersion},
		"cut short":       {st.Files, st.Blob[:len(st.Blob)-1], ErrMalformed},
		"too long":        {st.Files, append(bytes.Clone(st.Blob), 0), ErrMalformed},
		"a file less":     {st.Files[:2], st.Blob, ErrMalformed},
		"a file more":     {append(slices.Clone(st.Files), null), st.Blob, ErrMalformed},
		"no file":         {[]*os.File{nil, st.Files[1], st.Files[2]}, st.Blob, ErrMalformed},
		"a datagram":      {[]*os.File{st.Files[0], dgramFile, st.Files[2]}, st.Blob, nil},
		"no socket":       {[]*os.File{st.Files[0], null, st.Files[2]}, st.Blob, syscall.ENOTSOCK},
		"no pipe":         {[]*os.File{st.Files[0], st.Files[1], null}, st.Blob, ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			var files []*os.File
			for _, f := range c.files {
				files = append(files, again(t, f))
			}
			r, err := e.Import(State{files, c.blob}, Config{})
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("Import: %v, %v; want %v", r, err, c.want)
			}
			for i, f := range files {
				if f != nil && !errors.Is(f.Close(), os.ErrClosed) {
					t.Errorf("file %d is open", i)
				}
			}
		})
	}
	if e.Len() != 0 {
		t.Errorf("%d relays", e.Len())
	}
	// A count that is not true ends the relay; it must not hang it.
	b, err := parseBlob(st.Blob)
	if err != nil {
		t.Fatal(err)
	}
	b.flows[0].held++
	cfg, end := bound()
	if _, err := e.Import(State{st.Files, b.append(nil)}, cfg); err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, server)
	if res := end(t); !errors.Is(res.Err, io.ErrUnexpectedEOF) {
		t.Errorf("ended with %v", res.Err)
	}
}

// again returns another file for f's description.
func again(t *testing.T, f *os.File) *os.File {
	if f == nil {
		return nil
	}
	fd, err := dup(f)
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fd), f.Name())
}

func TestImportIntoAClosedEngine(t *testing.T) {
	a, b := newEngines(t)
	client, _, r := start(t, a, Config{})
	fill(t, client)
	b.Close()
	st, err := r.Export()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Import(st, Config{}); err != ErrClosed {
		t.Error(err)
	}
	if b.Len() != 0 {
		t.Error(b.Len())
	}
	if _, err := r.Export(); err != ErrEnded {
		t.Error(err)
	}
}
